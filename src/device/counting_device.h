#pragma once
#include <map>
#include <memory>
#include <string>

#include "base/amount.h"
#include "device/device.h"

namespace tessera {

/// A device that does nothing but count what is asked of it: what is built on it says how much memory the same thing
/// takes on a device of `kind`.  Its streams drop their work; its memory must not be read or written, but for small
/// pieces of Memory::host, which are real.
class CountingDevice final : public Device {
 public:
  explicit CountingDevice(DeviceKind kind) : kind_(kind) {}

  DeviceKind kind() const override { return kind_; }
  std::string description() const override { return "a device that counts"; }
  double peak_flops(DType) const override { return 0; }

  std::unique_ptr<Stream> make_stream(std::string name) override;
  std::unique_ptr<Event> make_event() override;
  std::unique_ptr<Timestamp> make_timestamp() override;

  void* allocate(int64_t bytes, const std::string& what, Memory place) override;
  void release(void* memory, int64_t bytes, Memory place) noexcept override;
  void copy(const void*, void*, int64_t) override {}
  void set_zero(void*, int64_t, Memory) override {}

  /// Bytes by purpose, whether they were released or not.
  const std::map<std::string, Amount>& allocated(Memory place) const {
    return place == Memory::device ? on_device_ : on_host_;
  }

 private:
  DeviceKind kind_;
  std::map<std::string, Amount> on_device_, on_host_;
};

}  // namespace tessera
