#include <utility>

#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/sort_tokens.h"

namespace tessera::cuda {
namespace {

template <typename T, int N>
__global__ void __launch_bounds__(block_threads)
    embedding_forward_kernel(const int32_t* tokens, Rows<const T> table, Rows<T> y, int64_t rows, int64_t cols) {
  const int64_t row = row_of_thread();
  if (row >= rows) return;
  move_row<T, N>(table[tokens[row]], y[row], cols);
}

/// y = factor · a row of the table, for factors other than 1.
template <typename T, int N>
__global__ void __launch_bounds__(block_threads)
    scaled_forward_kernel(const int32_t* tokens, Rows<const T> table, float factor, Rows<T> y, int64_t rows,
                          int64_t cols) {
  const int64_t row = row_of_thread();
  if (row >= rows) return;
  const T* const from = table[tokens[row]];
  T* const to = y[row];
  constexpr int together = 2;
  Packed<T, N> pieces[together];
  for_pieces_together<N, together>(
      cols, [&](int k, int64_t i) { load(from + i, pieces[k]); },
      [&](int k, int64_t i) {
        float values[N];
        unpack(pieces[k], values);
        for (float& value : values) value *= factor;
        store(values, to + i);
      });
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
    move_row<T, N>(x[first], to, cols);
  } else {
    zero_row<T, N>(to, cols);
  }
}

constexpr int backward_threads = 128;

/// The block of a token's first place adds the gradients of all its places, times factor, which follow in `sorted`:
/// those of one piece of the row a thread.
template <typename T, int N>
__global__ void __launch_bounds__(backward_threads)
    embedding_backward_kernel(const Occurrence* sorted, int32_t count, Rows<const T> dy, float factor, int32_t padding,
                              Rows<float> dtable, int64_t cols) {
  constexpr int together = 8;  // rows whose loads do not wait for each other; frequent tokens have hundreds
  const auto first = static_cast<int32_t>(blockIdx.x);
  const int32_t token = sorted[first].token;
  if (token == padding || (first > 0 && sorted[first - 1].token == token)) return;
  const int64_t i = (static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * N;
  if (i >= cols) return;

  int32_t next[together];  // rows of dy, -1 behind the last
  const auto look_up = [&](int32_t place) {
#pragma unroll
    for (int k = 0; k < together; ++k) {
      const Occurrence at = place + k < count ? sorted[place + k] : Occurrence{-1, -1};
      next[k] = at.token == token ? at.t : -1;
    }
  };
  float* const to = dtable[token] + i;
  float sum[N];
  load(to, sum);
  look_up(first);
  for (int32_t place = first + together; next[0] >= 0; place += together) {
    Packed<T, N> packed[together];
    bool there[together];
#pragma unroll
    for (int k = 0; k < together; ++k) {
      there[k] = next[k] >= 0;
      if (there[k]) load(dy[next[k]] + i, packed[k]);
    }
    look_up(place);  // while those are on their way
#pragma unroll
    for (int k = 0; k < together; ++k) {
      float values[N];
      unpack(packed[k], values);
      for (int j = 0; j < N; ++j)
        if (there[k]) sum[j] += factor * values[j];
    }
  }
  store(sum, to);
}

int64_t backward_scratch_bytes(int64_t T) { return 2 * T * int64_t{sizeof(Occurrence)}; }

class CudaEmbeddingKernels final : public EmbeddingKernels {
 public:
  explicit CudaEmbeddingKernels(std::shared_ptr<Workspace> workspace) : workspace_(std::move(workspace)) {}

  int64_t workspace_bytes(const LargestShapes& s) override { return backward_scratch_bytes(s.T); }

 private:
  void enqueue_embedding_forward(Stream& stream, const int32_t* tokens, ConstView table, View y,
                                 float factor) override {
    with_compute_type(y.dtype, [&](auto type) {
      using T = decltype(type);
      with_piece<T>(y.cols, {table, y}, [&](auto piece) {
        constexpr int N = decltype(piece)::value;
        const dim3 block = row_block(y.cols / N);
        const Launch on{"embedding_forward", row_grid(y.rows, block), block, 0, cuda_stream(stream)};
        if (factor == 1)
          launch(on, embedding_forward_kernel<T, N>, tokens, rows_of<T>(table), rows_of<T>(y), y.rows, y.cols);
        else
          launch(on, scaled_forward_kernel<T, N>, tokens, rows_of<T>(table), factor, rows_of<T>(y), y.rows, y.cols);
      });
    });
  }

  /// Tokens below 2^23; T at most 2^26.
  void enqueue_embedding_backward(Stream& stream, const int32_t* tokens, ConstView dy, View dtable, float factor,
                                  int32_t padding) override {
    const int64_t T = dy.rows;
    if (T == 0) return;
    const Occurrence* const sorted = sort_tokens(
        cuda_stream(stream), tokens, T, static_cast<Occurrence*>(workspace_->room(stream, backward_scratch_bytes(T))));
    with_compute_type(dy.dtype, [&](auto type) {
      using Element = decltype(type);
      with_piece<float>(dy.cols, {dy, dtable}, [&](auto piece) {
        constexpr int N = decltype(piece)::value;
        const auto threads =
            static_cast<unsigned>(std::min<int64_t>(round_up(ceil_div(dy.cols, N), 32), backward_threads));
        launch({"embedding_backward", dim3(blocks(T), blocks(ceil_div(dy.cols, N * threads))), dim3(threads), 0,
                cuda_stream(stream)},
               embedding_backward_kernel<Element, N>, sorted, narrow<int32_t>(T), rows_of<Element>(dy), factor, padding,
               rows_of<float>(dtable), dy.cols);
      });
    });
  }

  void enqueue_scatter_rows(Stream& stream, const int32_t* rows, ConstView x, View y) override {
    with_compute_type(y.dtype, [&](auto type) {
      using T = decltype(type);
      with_piece<T>(y.cols, {x, y}, [&](auto piece) {
        constexpr int N = decltype(piece)::value;
        const dim3 block = row_block(y.cols / N);
        launch({"scatter_rows", row_grid(y.rows, block), block, 0, cuda_stream(stream)}, scatter_rows_kernel<T, N>,
               rows, x.rows, rows_of<T>(x), rows_of<T>(y), y.rows, y.cols);
      });
    });
  }

  const std::shared_ptr<Workspace> workspace_;
};

}  // namespace

std::unique_ptr<EmbeddingKernels> make_embedding(std::shared_ptr<Workspace> workspace) {
  return std::make_unique<CudaEmbeddingKernels>(std::move(workspace));
}

}  // namespace tessera::cuda
