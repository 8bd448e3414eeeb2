#include "cuda_shim/matrix_products.h"
#include "device/cuda/cuda_device.h"
#include "kernels/cuda/cuda_kernels.h"
#include "support/kernel_test.h"

namespace tessera::test {

std::vector<Rig> every_rig() {
  std::vector<Rig> rigs(1);
  rigs[0].name = "the CUDA kernels on the CPU";
  rigs[0].device = std::make_unique<CudaDevice>(0);
  rigs[0].kernels =
      std::make_unique<CudaKernels>(std::make_shared<Workspace>(*rigs[0].device), std::make_unique<PlainProducts>());
  rigs[0].stream = rigs[0].device->make_stream("test");
  return rigs;
}

}  // namespace tessera::test
