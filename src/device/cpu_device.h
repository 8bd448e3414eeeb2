#pragma once
#include "device/device.h"

namespace tessera {

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(int threads);

  DeviceKind kind() const override { return DeviceKind::cpu; }
  std::string description() const override;
  double peak_flops(DType) const override { return 0; }
  std::unique_ptr<Stream> make_stream(std::string name) override;
  std::unique_ptr<Event> make_event() override;
  std::unique_ptr<Timestamp> make_timestamp() override;
  void* allocate(int64_t bytes, const std::string& what, Memory place) override;
  void release(void* memory, int64_t bytes, Memory place) noexcept override;
  void copy(const void* from, void* to, int64_t bytes) override;
  void set_zero(void* memory, int64_t bytes, Memory place) override;

  int threads() const { return threads_; }

 private:
  int threads_;
};

}  // namespace tessera
