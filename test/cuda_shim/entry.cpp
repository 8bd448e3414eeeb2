#include "device/cuda/cuda_device.h"
#include "kernels/cuda/cuda_kernels.h"

// The kernels room's entry point of the GPU part (device/gpu_library.h), for programs that have the shim inside.
extern "C" tessera::Kernels* tessera_gpu_make_kernels(tessera::Device& device, const tessera::KernelSettings&) {
  using namespace tessera;
  auto& gpu = dynamic_cast<CudaDevice&>(device);
  const auto workspace = std::make_shared<Workspace>(gpu);
  return new CudaKernels(workspace, std::make_unique<CublasLtGemm>(gpu, workspace));
}
