#pragma once
#include <cuda_runtime.h>

#include "device/view.h"

namespace tessera::cuda {

/// sums[c] += Σ_r x[r,c], in an order that only the sizes say.  x: fp32; for some hundreds of rows, as one block sums a
/// column.
void add_column_sums(cudaStream_t stream, ConstView x, float* sums);

}  // namespace tessera::cuda
