#pragma once
#include <cuda_runtime.h>

#include "kernels/attention.h"

/// The own attention kernels, for where cuDNN declines: heads of at most 256.  They throw ClusterError, naming the
/// kernel, where a launch is refused.
namespace tessera::cuda {

/// AttentionKernels::forward; of the shape cu_seqlens_on_device is read on the GPU.
void attention_forward(cudaStream_t stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                       View out, float* log_sum_exp);
/// AttentionKernels::backward.  scratch: attention_backward_scratch_bytes() of device memory, aligned to 16 bytes, in
/// use until the stream passes.
int64_t attention_backward_scratch_bytes(int64_t T, int64_t H);
void attention_backward(cudaStream_t stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                        ConstView out, const float* log_sum_exp, ConstView dout, View dq, View dk, View dv,
                        void* scratch);
/// AttentionKernels::decode.  k_cache, v_cache, length: on the host, copied before it returns; cu_seqlens and N of the
/// shape are not read.
void attention_decode(cudaStream_t stream, const AttentionShape& shape, ConstView q, const View* k_cache,
                      const View* v_cache, const int64_t* length, View out);

}  // namespace tessera::cuda
