#pragma once
#include "support/kernel_test.h"

namespace tessera::test {

/// For what is claimed of the CPU's kernels alone.
inline Rig cpu_rig(int threads) {
  Rig rig;
  rig.name = "the CPU with " + std::to_string(threads) + (threads == 1 ? " thread" : " threads");
  rig.device = make_cpu_device(threads);
  rig.kernels = make_kernels(*rig.device);
  rig.stream = rig.device->make_stream("test");
  return rig;
}

}  // namespace tessera::test
