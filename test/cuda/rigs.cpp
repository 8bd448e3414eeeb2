#include "support/kernel_test.h"

namespace tessera::test {

/// One for all tests: opening cuBLASLt and cuDNN takes longer than most of them.
std::vector<Rig> every_rig() {
  static const Rig rig = [] {
    Rig made;
    made.device = make_cuda_device(0);
    made.name = made.device->description();
    made.kernels = make_kernels(*made.device);
    made.stream = made.device->make_stream("test");
    return made;
  }();
  return {rig};
}

}  // namespace tessera::test
