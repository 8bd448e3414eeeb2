#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <vector>

#include "kernels/cuda/attention_description.h"  // attention_offsets_pitch

namespace tessera::cuda {

/// What cuDNN wants to know of a batch's documents, made on the device from its cu_seqlens [N+1]:
///   offsets [strides.size()][attention_offsets_pitch(documents)], of which documents + 1 count:
///           cu_seqlens[min(n, N)] * strides[i]
///   lengths [documents]: cu_seqlens[n+1] - cu_seqlens[n], 0 from N on
/// documents >= N; at most 9 strides, from the host, copied before it returns.
void attention_offsets(cudaStream_t stream, const int32_t* cu_seqlens, int64_t N, int64_t documents,
                       const std::vector<int64_t>& strides, int64_t* offsets, int32_t* lengths);

}  // namespace tessera::cuda
