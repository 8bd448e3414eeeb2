#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/rows.cuh"
#include "kernels/subject.h"

namespace tessera::cuda {
namespace {

/// sums[chunk, c] = (or +=) Σ x[r,c] over the rows of a chunk.  A lane has N columns; each of the block's warps adds
/// every warps-th row, then their sums are added in their order.
template <typename T, int N, int warps>
__global__ void __launch_bounds__(warps * 32, 1024 / (warps * 32))
    column_sums_kernel(Rows<const T> x, int rows, int64_t cols, int rows_of_chunk, float* sums, Write mode) {
  constexpr int together = 8;  // rows whose loads do not wait for each other
  __shared__ float partial[warps][32 * N];
  const int64_t column = (static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x) * N;
  const int begin = static_cast<int>(blockIdx.y) * rows_of_chunk, end = min(rows, begin + rows_of_chunk);
  const int64_t step = warps * x.stride;
  float sum[N] = {};
  for (int row = begin + static_cast<int>(threadIdx.y); row < end && column < cols; row += warps * together) {
    const T* const at = x[row] + column;
    Packed<T, N> packed[together] = {};  // zeros, which add nothing, behind the last row
#pragma unroll
    for (int k = 0; k < together; ++k)
      if (row + k * warps < end) load(at + k * step, packed[k]);
#pragma unroll
    for (int k = 0; k < together; ++k) {
      float values[N];
      unpack(packed[k], values);
      for (int j = 0; j < N; ++j) sum[j] += values[j];
    }
  }
  for (int j = 0; j < N; ++j) partial[threadIdx.y][j * 32 + threadIdx.x] = sum[j];
  __syncthreads();
  if (threadIdx.y > 0 || column >= cols) return;
  float* const to = sums + blockIdx.y * cols + column;
  for (int j = 0; j < N; ++j) {
    float total = mode == Write::accumulate ? to[j] : 0;
    for (int warp = 0; warp < warps; ++warp) total += partial[warp][j * 32 + threadIdx.x];
    to[j] = total;
  }
}

/// A chunk is worth a block from here on; more blocks than keep an H100 busy are not.
constexpr int64_t least_rows_of_chunk = 64, enough_blocks = 4 * 132;

int64_t chunks_of(int64_t rows, int64_t cols) {
  const int64_t column_blocks = ceil_div(cols, 32 * elements_of_16_bytes<bf16>);
  return std::clamp<int64_t>(enough_blocks / std::max<int64_t>(column_blocks, 1), 1,
                             std::max<int64_t>(rows / least_rows_of_chunk, 1));
}

template <int warps>
void column_sums(cudaStream_t stream, const char* kernel, ConstView x, int64_t chunks, float* sums, Write mode) {
  with_compute_type(x.dtype, [&](auto type) {
    using T = decltype(type);
    with_piece<T>(x.cols, {x}, [&](auto piece) {
      constexpr int N = decltype(piece)::value;
      const dim3 grid(blocks(ceil_div(x.cols, 32 * N)), blocks(chunks));
      launch({kernel, grid, dim3(32, warps), 0, stream}, column_sums_kernel<T, N, warps>, rows_of<T>(x),
             narrow<int>(x.rows), x.cols, narrow<int>(ceil_div(x.rows, chunks)), sums, mode);
    });
  });
}

}  // namespace

void add_column_sums(cudaStream_t stream, ConstView x, float* sums) {
  constexpr int warps = 16;  // there are few blocks, and their rows are to be fetched at once
  column_sums<warps>(stream, "add_column_sums", x, 1, sums, Write::accumulate);
}

int64_t bias_backward_scratch_bytes(int64_t T, int64_t O) { return chunks_of(T, O) * O * int64_t{sizeof(float)}; }

void bias_backward(cudaStream_t stream, ConstView dy, View db, void* scratch) {
  if (dy.rows == 0) return;
  constexpr int bias_warps = 8;
  const int64_t chunks = chunks_of(dy.rows, dy.cols);
  if (chunks == 1) {
    column_sums<bias_warps>(stream, "bias_backward", dy, 1, db.as<float>(), Write::accumulate);
    return;
  }
  auto* const partials = static_cast<float*>(scratch);
  column_sums<bias_warps>(stream, "bias_backward", dy, chunks, partials, Write::overwrite);
  add_column_sums(stream, ConstView(partials, DType::f32, chunks, dy.cols), db.as<float>());
}

}  // namespace tessera::cuda
