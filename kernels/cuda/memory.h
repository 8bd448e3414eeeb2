#pragma once
#include <cuda_runtime.h>

#include "device/view.h"

/// Of memory.cu, what other subjects need too.
namespace tessera::cuda {

/// to = from: MemoryKernels::cast.
void cast(cudaStream_t stream, ConstView from, View to);
/// Of each row its columns alone.
void fill_zero(cudaStream_t stream, View to);

}  // namespace tessera::cuda
