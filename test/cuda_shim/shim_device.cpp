#include "cuda_shim/memory.h"
#include "cuda_shim/shim_kernels.h"
#include "device/cpu_stream.h"

namespace tessera::test {
namespace {

class ShimDevice final : public Device {
 public:
  DeviceKind kind() const override { return DeviceKind::cpu; }
  std::string description() const override { return "the CUDA shim"; }
  std::unique_ptr<Stream> make_stream(std::string name) override {
    return std::make_unique<CpuStream>(*this, std::move(name), 1);
  }
  std::unique_ptr<Event> make_event() override { return std::make_unique<CpuEvent>(); }
  void* allocate(int64_t bytes, const std::string&) override {
    if (bytes == 0) return nullptr;
    count(bytes);
    return cuda_shim::allocate(static_cast<size_t>(bytes));
  }
  void release(void* memory, int64_t bytes) noexcept override {
    if (memory == nullptr) return;
    cuda_shim::release(memory);
    count(-bytes);
  }
};

}  // namespace

std::unique_ptr<Device> make_shim_device() { return std::make_unique<ShimDevice>(); }

}  // namespace tessera::test
