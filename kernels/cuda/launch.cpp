#include "kernels/cuda/launch.h"

#include "base/number.h"

namespace tessera::cuda {

unsigned blocks(int64_t value) { return narrow<unsigned>(narrow<int32_t>(value)); }

int64_t largest_shared_bytes() {
  int device = 0, bytes = 0;
  check(cudaGetDevice(&device), "asking for the GPU in use");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "asking for shared memory");
  return bytes;
}

}  // namespace tessera::cuda
