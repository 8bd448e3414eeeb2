#include <cfloat>

#include "kernels/cuda/launchers.h"
#include "kernels/cuda/rows.cuh"

namespace tessera::cuda {
namespace {

constexpr int most_threads = 1024;  // a row is long, and few rows at a time stay in the cache for the second pass

/// The largest of some logits, at least -FLT_MAX, and Σ e^(x - largest); a NaN among them makes the sum NaN.
struct RowSum {
  float largest = -FLT_MAX, sum = 0;
};

__device__ RowSum merge(RowSum a, RowSum b) {
  const float largest = fmaxf(a.largest, b.largest);
  return {largest, a.sum * expf(a.largest - largest) + b.sum * expf(b.largest - largest)};
}

/// merge() over the threads of the block, the same bits in each of them.
__device__ RowSum merge_block(RowSum mine, RowSum* partial) {
  for (int offset = 16; offset > 0; offset /= 2) {
    const float largest = __shfl_xor_sync(whole_warp, mine.largest, offset);
    const float sum = __shfl_xor_sync(whole_warp, mine.sum, offset);
    mine = merge(mine, {largest, sum});
  }
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = mine;
  __syncthreads();
  RowSum all = partial[0];
  for (unsigned warp = 1; warp < blockDim.x / 32; ++warp) all = merge(all, partial[warp]);
  return all;
}

/// d = e^(x - largest) · factor.  d may be x.
template <typename T, int N>
__device__ void write_gradient(const float* x, int64_t V, float largest, float factor, T* d) {
  for_pieces<N>(V, [&](int64_t i) {
    float values[N];
    load(x + i, values);
    for (int j = 0; j < N; ++j) values[j] = expf(values[j] - largest) * factor;
    store(values, d + i);
  });
}

/// losses[t] of one row a block, 0 where its target is ignored, and its gradient where there is room for one.
template <typename T, int N>
__global__ void __launch_bounds__(most_threads)
    cross_entropy_kernel(Rows<const float> logits, const int32_t* targets, int64_t V, float scale, Rows<T> dlogits,
                         double* losses) {
  __shared__ RowSum partial[most_threads / 32];
  const int64_t t = blockIdx.x;
  const float* const x = logits[t];
  T* const d = dlogits.data != nullptr ? dlogits[t] : nullptr;
  const int32_t target = targets[t];
  if (target < 0) {
    if (threadIdx.x == 0) losses[t] = 0;
    const float zero[N] = {};
    if (d != nullptr) for_pieces<N>(V, [&](int64_t i) { store(zero, d + i); });
    return;
  }
  RowSum mine;
  for_pieces<N>(V, [&](int64_t i) {
    float values[N];
    load(x + i, values);
    float largest = mine.largest, sum = 0;
    for (int j = 0; j < N; ++j) largest = fmaxf(largest, values[j]);
    for (int j = 0; j < N; ++j) sum += expf(values[j] - largest);
    mine = {largest, mine.sum * expf(mine.largest - largest) + sum};
  });
  const float at_target = x[target];  // before any thread writes to the row: merge_block has a barrier
  const RowSum row = merge_block(mine, partial);
  if (threadIdx.x == 0)
    losses[t] = log(static_cast<double>(row.sum)) + (static_cast<double>(row.largest) - static_cast<double>(at_target));
  if (d == nullptr) return;
  write_gradient<T, N>(x, V, row.largest, scale / row.sum, d);
  if (static_cast<int64_t>(threadIdx.x) == target / N % blockDim.x)  // the thread that has just written there
    from_float((expf(at_target - row.largest) / row.sum - 1) * scale, d + target);
}

/// *to += the values in their order.  The others fetch while one adds.
__global__ void __launch_bounds__(block_threads) add_in_order_kernel(const double* values, int64_t n, double* to) {
  __shared__ double tile[block_threads];
  double sum = *to;
  for (int64_t first = 0; first < n; first += block_threads) {
    const auto count = static_cast<int>(min(n - first, static_cast<int64_t>(block_threads)));
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < count) tile[threadIdx.x] = values[first + threadIdx.x];
    __syncthreads();
    if (threadIdx.x == 0) {
#pragma unroll 8
      for (int i = 0; i < count; ++i) sum += tile[i];
    }
  }
  if (threadIdx.x == 0) *to = sum;
}

}  // namespace

int64_t cross_entropy_scratch_bytes(int64_t T) { return T * int64_t{sizeof(double)}; }

void cross_entropy(cudaStream_t stream, ConstView logits, const int32_t* targets, float gradient_scale, View dlogits,
                   double* loss_sum, void* scratch) {
  auto* const losses = static_cast<double*>(scratch);
  const View gradient = dlogits ? dlogits : View(nullptr, DType::f32, logits.rows, logits.cols);
  with_compute_type(gradient.dtype, [&](auto type) {
    using T = decltype(type);
    with_piece<T>(logits.cols, {logits, gradient}, [&](auto piece) {
      constexpr int N = decltype(piece)::value;
      const auto threads =
          static_cast<unsigned>(std::clamp<int64_t>(round_up(logits.cols / (4 * N), 32), 32, most_threads));
      launch({"cross_entropy", dim3(blocks(logits.rows)), dim3(threads), 0, stream}, cross_entropy_kernel<T, N>,
             rows_of<float>(logits), targets, logits.cols, gradient_scale, rows_of<T>(gradient), losses);
    });
  });
  if (logits.rows > 0)
    launch({"add_in_order", dim3(1), dim3(block_threads), 0, stream}, add_in_order_kernel, losses, logits.rows,
           loss_sum);
}

}  // namespace tessera::cuda
