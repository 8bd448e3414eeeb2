#include "kernels/cuda/launchers.h"
#include "kernels/cuda/rows.cuh"

namespace tessera::cuda {
namespace {

/// to[0 … N-1] = from[0 … N-1], every bit.
template <typename T, int N>
__device__ void move_piece(const T* from, T* to) {
  if constexpr (N == 1)
    *to = *from;
  else
    *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(from);
}

template <typename T, int N>
__global__ void __launch_bounds__(block_threads)
    embedding_forward_kernel(const int32_t* tokens, Rows<const T> table, Rows<T> y, int64_t rows, int64_t cols) {
  const int64_t row = row_of_thread();
  if (row >= rows) return;
  const T* const from = table[tokens[row]];
  T* const to = y[row];
  for_pieces<N>(cols, [&](int64_t i) { move_piece<T, N>(from + i, to + i); });
}

/// Each row of y looks for itself among the S chosen ones, which are in ascending order.
template <typename T, int N>
__global__ void __launch_bounds__(block_threads)
    scatter_rows_kernel(const int32_t* chosen, int64_t S, Rows<const T> x, Rows<T> y, int64_t rows, int64_t cols) {
  const int64_t row = row_of_thread();
  if (row >= rows) return;
  int64_t first = 0, end = S;  // the first that is not below `row` is in [first, end]
  while (first < end) {
    const int64_t middle = (first + end) / 2;
    if (chosen[middle] < row)
      first = middle + 1;
    else
      end = middle;
  }
  T* const to = y[row];
  if (first < S && chosen[first] == row) {
    const T* const from = x[first];
    for_pieces<N>(cols, [&](int64_t i) { move_piece<T, N>(from + i, to + i); });
  } else {
    const float zero[N] = {};
    for_pieces<N>(cols, [&](int64_t i) { store(zero, to + i); });
  }
}

/// A place of the batch, and what stands there.
struct Occurrence {
  int32_t token, t;
};

/// sorted = the T tokens in ascending order, equal ones in the order of t: each thread counts what comes before its
/// own.
__global__ void __launch_bounds__(block_threads)
    sort_tokens_kernel(const int32_t* tokens, int32_t T, Occurrence* sorted) {
  __shared__ int32_t tile[block_threads];
  const int32_t t = static_cast<int32_t>(blockIdx.x) * block_threads + static_cast<int32_t>(threadIdx.x);
  const int32_t mine = t < T ? tokens[t] : 0;
  int32_t before = 0;
  for (int32_t first = 0; first < T; first += block_threads) {
    const int32_t other = first + static_cast<int32_t>(threadIdx.x);
    __syncthreads();
    tile[threadIdx.x] = other < T ? tokens[other] : INT32_MAX;
    __syncthreads();
    if (first + block_threads <= t - static_cast<int32_t>(threadIdx.x)) {  // a tile that lies before the block's own
      for (const int32_t token : tile) before += token <= mine ? 1 : 0;
    } else {
      for (int32_t j = 0; j < block_threads; ++j) before += tile[j] < mine + (first + j < t ? 1 : 0) ? 1 : 0;
    }
  }
  if (t < T) sorted[before] = {mine, t};
}

/// The block of a token's first place adds the gradients of all its places, which follow in `sorted`.
template <typename T, int N>
__global__ void __launch_bounds__(block_threads)
    embedding_backward_kernel(const Occurrence* sorted, int32_t count, Rows<const T> dy, Rows<float> dtable,
                              int64_t cols) {
  constexpr int together = 4;  // rows whose loads do not wait for each other
  const auto first = static_cast<int32_t>(blockIdx.x);
  const int32_t token = sorted[first].token;
  if (first > 0 && sorted[first - 1].token == token) return;
  float* const to = dtable[token];
  for_pieces<N>(cols, [&](int64_t i) {
    float sum[N];
    load(to + i, sum);
    for (int32_t place = first; place < count && sorted[place].token == token; place += together) {
      float values[together][N];
      bool same[together];
#pragma unroll
      for (int k = 0; k < together; ++k) {
        same[k] = place + k < count && sorted[place + k].token == token;
        if (same[k]) load(dy[sorted[place + k].t] + i, values[k]);
      }
#pragma unroll
      for (int k = 0; k < together; ++k)
        for (int j = 0; j < N; ++j)
          if (same[k]) sum[j] += values[k][j];
    }
    store(sum, to + i);
  });
}

}  // namespace

void embedding_forward(cudaStream_t stream, const int32_t* tokens, ConstView table, View y) {
  with_compute_type(y.dtype, [&](auto type) {
    using T = decltype(type);
    with_piece<T>(y.cols, {table, y}, [&](auto piece) {
      constexpr int N = decltype(piece)::value;
      const dim3 block = row_block(y.cols / N);
      launch({"embedding_forward", row_grid(y.rows, block), block, 0, stream}, embedding_forward_kernel<T, N>, tokens,
             rows_of<T>(table), rows_of<T>(y), y.rows, y.cols);
    });
  });
}

int64_t embedding_backward_scratch_bytes(int64_t T) { return T * int64_t{sizeof(Occurrence)}; }

void embedding_backward(cudaStream_t stream, const int32_t* tokens, ConstView dy, View dtable, void* scratch) {
  const auto T = narrow<int32_t>(dy.rows);
  auto* const sorted = static_cast<Occurrence*>(scratch);
  launch({"sort_tokens", dim3(blocks(ceil_div(T, block_threads))), dim3(block_threads), 0, stream}, sort_tokens_kernel,
         tokens, T, sorted);
  with_compute_type(dy.dtype, [&](auto type) {
    using Element = decltype(type);
    with_piece<Element>(dy.cols, {dy, dtable}, [&](auto piece) {
      constexpr int N = decltype(piece)::value;
      const auto threads = static_cast<unsigned>(std::clamp<int64_t>(round_up(dy.cols / N, 32), 32, block_threads));
      launch({"embedding_backward", dim3(blocks(T)), dim3(threads), 0, stream}, embedding_backward_kernel<Element, N>,
             sorted, T, rows_of<Element>(dy), rows_of<float>(dtable), dy.cols);
    });
  });
}

void scatter_rows(cudaStream_t stream, const int32_t* rows, ConstView x, View y) {
  with_compute_type(y.dtype, [&](auto type) {
    using T = decltype(type);
    with_piece<T>(y.cols, {x, y}, [&](auto piece) {
      constexpr int N = decltype(piece)::value;
      const dim3 block = row_block(y.cols / N);
      launch({"scatter_rows", row_grid(y.rows, block), block, 0, stream}, scatter_rows_kernel<T, N>, rows, x.rows,
             rows_of<T>(x), rows_of<T>(y), y.rows, y.cols);
    });
  });
}

}  // namespace tessera::cuda
