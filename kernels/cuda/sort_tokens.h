#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace tessera::cuda {

/// A place of the batch, and what stands there.
struct Occurrence {
  int32_t token, t;
};

/// Returns the T tokens in ascending order, equal ones in the order of t: in one of the two halves of `scratch`, 2 T of
/// them.  Tokens are below 2^23, T at most 2^26.
const Occurrence* sort_tokens(cudaStream_t stream, const int32_t* tokens, int64_t T, Occurrence* scratch);

}  // namespace tessera::cuda
