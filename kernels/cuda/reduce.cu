#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/rows.cuh"

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

/// The square of a float in double.  It is widened by hand: GPUs have few units that convert to double.  An
/// exponent of a float in the field of a double is too small by 896.
__device__ double square(float x) {
  const uint32_t bits = __float_as_uint(x) & 0x7fffffffu;
  if (bits >= 0x7f800000u) return x * x;  // infinity, NaN
  const double wide = __longlong_as_double(static_cast<int64_t>(static_cast<uint64_t>(bits) << 29)) * 0x1p896;
  return wide * wide;
}

constexpr int norm_blocks_at_a_time = 4;  // on a processor

__device__ double block_sum(double value, double* partial) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(whole_warp, value, offset);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  double sum = 0;
  for (int warp = 0; warp < block_threads / 32; ++warp) sum += partial[warp];
  return sum;
}

/// partials[block] = Σ x² over every gridDim.x-th piece of N elements for each thread; the n % N last are block 0's.
template <int N>
__global__ void __launch_bounds__(block_threads, norm_blocks_at_a_time)
    squared_norm_kernel(const float* x, int64_t n, double* partials) {
  constexpr int together = 4;  // pieces whose loads do not wait for each other
  __shared__ double partial[block_threads / 32];
  const int64_t pieces = n / N, step = static_cast<int64_t>(gridDim.x) * block_threads;
  double sum = 0;
  for (int64_t piece = static_cast<int64_t>(blockIdx.x) * block_threads + threadIdx.x; piece < pieces;
       piece += together * step) {
    float values[together][N] = {};  // zeros, which add nothing, behind the last piece
#pragma unroll
    for (int k = 0; k < together; ++k)
      if (piece + k * step < pieces) load(x + (piece + k * step) * N, values[k]);
#pragma unroll
    for (int k = 0; k < together; ++k)
      for (int j = 0; j < N; ++j) sum += square(values[k][j]);
  }
  if (blockIdx.x == 0 && threadIdx.x < n % N) sum += square(x[pieces * N + threadIdx.x]);
  sum = block_sum(sum, partial);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(block_threads)
    add_partials_kernel(const double* partials, int64_t count, double* to) {
  __shared__ double partial[block_threads / 32];
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += block_threads) sum += partials[i];
  sum = block_sum(sum, partial);
  if (threadIdx.x == 0) *to += sum;
}

/// As many as an H100 has at work at a time.
int64_t norm_blocks(int64_t n) {
  return std::min<int64_t>(ceil_div(n, 16 * block_threads), norm_blocks_at_a_time * 132);
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

int64_t squared_norm_scratch_bytes(int64_t n) { return norm_blocks(n) * int64_t{sizeof(double)}; }

void squared_norm(cudaStream_t stream, const float* x, int64_t n, double* sum, void* scratch) {
  if (n == 0) return;
  auto* const partials = static_cast<double*>(scratch);
  const auto kernel = multiple_of_16(x) ? squared_norm_kernel<4> : squared_norm_kernel<1>;
  launch({"squared_norm", dim3(blocks(norm_blocks(n))), dim3(block_threads), 0, stream}, kernel, x, n, partials);
  launch({"add_partials", dim3(1), dim3(block_threads), 0, stream}, add_partials_kernel, partials, norm_blocks(n), sum);
}

}  // namespace tessera::cuda
