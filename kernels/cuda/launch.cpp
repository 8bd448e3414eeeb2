#include "kernels/cuda/launch.h"

#include <stdexcept>

#include "base/error.h"
#include "base/number.h"

namespace tessera::cuda {

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw ClusterError("cuda: {}: {}", what, cudaGetErrorString(error));
}

unsigned blocks(int64_t value) { return narrow<unsigned>(narrow<int32_t>(value)); }

}  // namespace tessera::cuda
