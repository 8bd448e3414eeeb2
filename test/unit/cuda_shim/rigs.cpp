#include "cuda_shim/shim_kernels.h"
#include "support/kernel_test.h"

namespace tessera::test {

std::vector<Rig> every_rig() {
  std::vector<Rig> rigs(1);
  rigs[0].name = "the CUDA kernels on the CPU";
  rigs[0].device = make_shim_device();
  rigs[0].kernels = make_shim_kernels();
  rigs[0].stream = rigs[0].device->make_stream("test");
  return rigs;
}

}  // namespace tessera::test
