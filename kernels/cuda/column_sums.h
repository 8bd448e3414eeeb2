#pragma once
#include <cuda_runtime.h>

#include "device/view.h"

namespace tessera::cuda {

/// sums[c] += Σ_r x[r,c], in an order that only the sizes say.  x: fp32; for some hundreds of rows, as one block sums a
/// column.
void add_column_sums(cudaStream_t stream, ConstView x, float* sums);

/// LinearKernels::bias_backward.  scratch: bias_backward_scratch_bytes() of device memory, aligned to 16 bytes, in use
/// until the stream passes.
int64_t bias_backward_scratch_bytes(int64_t T, int64_t O);
void bias_backward(cudaStream_t stream, ConstView dy, View db, void* scratch);

}  // namespace tessera::cuda
