#include "kernels/cuda/launch.h"

#include "base/number.h"

namespace tessera::cuda {

unsigned blocks(int64_t value) { return narrow<unsigned>(narrow<int32_t>(value)); }

}  // namespace tessera::cuda
