#include "device/cuda/cuda_device.h"
#include "kernels/cuda/cuda_kernels.h"
#include "support/kernel_test.h"

namespace tessera::test {

std::vector<Rig> every_rig() {
  std::vector<Rig> rigs(1);
  rigs[0].name = "the CUDA kernels on the CPU";
  const auto device = std::make_shared<CudaDevice>(0);
  const auto workspace = std::make_shared<Workspace>(*device);
  rigs[0].device = device;
  rigs[0].kernels = std::make_unique<CudaKernels>(workspace, std::make_unique<CublasLtGemm>(*device, workspace));
  rigs[0].stream = rigs[0].device->make_stream("test");
  return rigs;
}

}  // namespace tessera::test
