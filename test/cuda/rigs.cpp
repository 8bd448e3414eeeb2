#include "support/kernel_test.h"

namespace tessera::test {

/// One for all tests: opening cuBLASLt and cuDNN takes longer than most of them.  It stays: when static objects are
/// destroyed, those of the libraries may be gone already.
std::vector<Rig> every_rig() {
  static const Rig* const rig = [] {
    auto* made = new Rig;
    made->device = make_cuda_device(0);
    made->name = made->device->description();
    made->kernels = make_kernels(*made->device);
    made->stream = made->device->make_stream("test");
    return made;
  }();
  return {*rig};
}

}  // namespace tessera::test
