#include "device/gpu_library.h"
#include "kernels/cpu/cpu_kernels.h"

namespace tessera {

std::unique_ptr<Kernels> make_kernels(Device& device) {
  if (device.kind() == DeviceKind::cpu) return std::make_unique<CpuKernels>(device);
  return std::unique_ptr<Kernels>(GpuLibrary::get().find<Kernels*(Device&)>("tessera_gpu_make_kernels")(device));
}

}  // namespace tessera
