#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "device/cuda/check.h"

namespace tessera::cuda {

/// `value` as one side of a grid; throws where no grid has so many blocks.
unsigned blocks(int64_t value);

/// The most shared memory that a block of this GPU may have; what a kernel gets of it decides where it keeps something,
/// and never what it computes.
int64_t largest_shared_bytes();

/// What a kernel runs on.
struct Launch {
  const char* kernel;  ///< its name, for errors
  dim3 grid, block;
  size_t shared_bytes;
  cudaStream_t stream;
};

/// The one way in which a kernel is started.  No blocks are no work.
template <typename... Parameters, typename... Arguments>
void launch(const Launch& on, void (*kernel)(Parameters...), const Arguments&... arguments) {
  constexpr size_t shared_bytes_unasked = 40 << 10;  // 48 with what a kernel declares itself
  if (on.grid.x == 0 || on.grid.y == 0 || on.grid.z == 0) return;
  if (on.shared_bytes > shared_bytes_unasked)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(on.shared_bytes)),
          on.kernel);
  cudaLaunchConfig_t config{};
  config.gridDim = on.grid;
  config.blockDim = on.block;
  config.dynamicSmemBytes = on.shared_bytes;
  config.stream = on.stream;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), on.kernel);
}

}  // namespace tessera::cuda
