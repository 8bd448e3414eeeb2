#include "device/gpu_library.h"
#include "kernels/cpu/cpu_kernels.h"

namespace tessera {

std::unique_ptr<Kernels> make_kernels(Device& device, const KernelSettings& settings) {
  if (device.kind() == DeviceKind::cpu) return std::make_unique<CpuKernels>(device);
  using Make = Kernels*(Device&, const KernelSettings&);
  return std::unique_ptr<Kernels>(GpuLibrary::get().find<Make>("tessera_gpu_make_kernels")(device, settings));
}

}  // namespace tessera
