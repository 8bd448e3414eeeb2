#include "cuda_shim/matrix_products.h"
#include "kernels/cuda/cuda_kernels.h"

// The kernels room's entry point of the GPU part (device/gpu_library.h), for programs that have the shim inside.
extern "C" tessera::Kernels* tessera_gpu_make_kernels(tessera::Device& device) {
  return new tessera::CudaKernels(std::make_shared<tessera::Workspace>(device),
                                  std::make_unique<tessera::test::PlainProducts>());
}
