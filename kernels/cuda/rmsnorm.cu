#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/rows.cuh"

namespace tessera::cuda {
namespace {

// Both norms are one: a row of x is `heads` pieces of D = w.cols elements, here rows of their own, and the norm of a
// whole row is that with one head.  r = inv_rms, x̂ = x·r, y = x̂·w.

/// The rows that are the heads of a matrix's rows.
template <typename T>
struct HeadRows {
  Rows<T> rows;
  int64_t heads, D;
  __device__ T* operator[](int64_t row) const { return rows[row / heads] + row % heads * D; }
};
template <typename T, typename AnyView>
auto head_rows(const AnyView& view, int64_t D) {
  const auto rows = rows_of<T>(view);
  return HeadRows<std::remove_pointer_t<decltype(rows.data)>>{rows, view.cols / D, D};
}

template <typename T, int N>
__global__ void __launch_bounds__(block_threads)
    forward_kernel(HeadRows<const T> x_rows, const T* w, float eps, HeadRows<T> y_rows, float* inv_rms, int64_t rows) {
  __shared__ float partial[block_threads / 32];
  const int64_t D = x_rows.D, row = row_of_thread();
  const bool mine = row < rows;
  const T* x = mine ? x_rows[row] : nullptr;
  constexpr int kept = N == 1 ? 8 : 32 / N;
  float kept_x[kept][N];
  float squares = 0;
  if (mine) {
    for_kept_pieces<N, kept>(D, [&](int p, int64_t i) {
      float again[N];
      auto& xi = p < kept ? kept_x[p] : again;
      load(x + i, xi);
      for (int j = 0; j < N; ++j) squares += xi[j] * xi[j];
    });
  }
  const float r = 1 / sqrtf(row_sum(squares, partial) / static_cast<float>(D) + eps);
  if (!mine) return;
  if (threadIdx.x == 0) inv_rms[row] = r;
  T* y = y_rows[row];
  for_kept_pieces<N, kept>(D, [&](int p, int64_t i) {
    float again[N], wi[N], yi[N];
    auto& xi = p < kept ? kept_x[p] : again;
    if (p == kept) load(x + i, xi);
    load(w + i, wi);
    for (int j = 0; j < N; ++j) yi[j] = xi[j] * r * wi[j];
    store(yi, y + i);
  });
}

constexpr int backward_threads = 512;  // of the widest rows

/// dx = (or +=) r (dy·w - x̂ mean(dy·w·x̂)); partials[block, :] = Σ dy·x̂ over the rows of the block: every gridDim.x-th
/// of those that it can take at a time.  Shared: D floats where a block takes several.
template <typename T, int N>
__global__ void __launch_bounds__(backward_threads)
    backward_kernel(HeadRows<const T> x_rows, const T* w, const float* inv_rms, HeadRows<const T> dy_rows,
                    HeadRows<T> dx_rows, Write mode, float* partials, int64_t rows) {
  __shared__ float partial[backward_threads / 32];
  constexpr int kept = N == 1 ? 4 : 16 / N;  // of three arrays: more would leave an H100 too few threads at a time
  const int64_t D = x_rows.D, step = static_cast<int64_t>(gridDim.x) * blockDim.y;
  float* const dw = partials + blockIdx.x * D;
  float kept_dw[kept][N] = {};
  for_kept_pieces<N, kept>(D, [&](int p, int64_t i) {
    const float zero[N] = {};
    if (p == kept) store(zero, dw + i);
  });

  for (int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.y; first < rows; first += step) {
    const int64_t row = first + threadIdx.y;
    const bool mine = row < rows;
    const T* x = mine ? x_rows[row] : nullptr;
    const T* dy = mine ? dy_rows[row] : nullptr;
    float kept_x[kept][N], kept_dy[kept][N];
    float dot = 0;
    if (mine) {
      for_kept_pieces<N, kept>(D, [&](int p, int64_t i) {
        float x_again[N], dy_again[N], wi[N];
        auto& xi = p < kept ? kept_x[p] : x_again;
        auto& dyi = p < kept ? kept_dy[p] : dy_again;
        load(x + i, xi);
        load(dy + i, dyi);
        load(w + i, wi);
        for (int j = 0; j < N; ++j) dot += dyi[j] * wi[j] * xi[j];
      });
    }
    const float r = mine ? inv_rms[row] : 0;
    const float mean = row_sum(dot, partial) * r / static_cast<float>(D);
    if (!mine) continue;  // for whole rows, and in the last round only
    T* dx = dx_rows[row];
    for_kept_pieces<N, kept>(D, [&](int p, int64_t i) {
      float x_again[N], dy_again[N], dw_again[N], wi[N], dxi[N];
      auto& xi = p < kept ? kept_x[p] : x_again;
      auto& dyi = p < kept ? kept_dy[p] : dy_again;
      auto& dwi = p < kept ? kept_dw[p] : dw_again;
      if (p == kept) {
        load(x + i, xi);
        load(dy + i, dyi);
        load(dw + i, dwi);
      }
      load(w + i, wi);
      if (mode == Write::accumulate) {
        load(dx + i, dxi);
      } else {
        for (int j = 0; j < N; ++j) dxi[j] = 0;
      }
      for (int j = 0; j < N; ++j) {
        const float normed = xi[j] * r;
        dwi[j] += dyi[j] * normed;
        dxi[j] += r * (dyi[j] * wi[j] - normed * mean);
      }
      if (p == kept) store(dwi, dw + i);
      store(dxi, dx + i);
    });
  }

  if (blockDim.y == 1) {
    for_kept_pieces<N, kept>(D, [&](int p, int64_t i) {
      if (p < kept) store(kept_dw[p], dw + i);
    });
    return;
  }
  float* const sums = dynamic_shared<float>();  // rows so narrow that all of each is kept
  for (unsigned turn = 0; turn < blockDim.y; ++turn) {
    if (threadIdx.y == turn) {
      for_kept_pieces<N, kept>(D, [&](int p, int64_t i) {
        float before[N] = {};
        if (p == kept) return;
        if (turn > 0) load(sums + i, before);
        for (int j = 0; j < N; ++j) before[j] += kept_dw[p][j];
        store(before, turn + 1 < blockDim.y ? sums + i : dw + i);
      });
    }
    __syncthreads();
  }
}

/// Two blocks for each of the 132 processors of an H100: all run at once, and the sums of 264 rows are little beside
/// some thousands of rows.  The same on every GPU, or the bits were not.
constexpr int64_t most_partials = 264;

int64_t partial_rows(int64_t rows, int64_t cols) {
  // As with the widest pieces, which make the most of a row's threads; where pieces are narrower, fewer are used.
  const int64_t rows_of_block = row_block(cols / elements_of_16_bytes<bf16>).y;
  return std::clamp<int64_t>(ceil_div(rows, rows_of_block), 1, most_partials);
}

}  // namespace

void rmsnorm_forward(cudaStream_t stream, ConstView x, ConstView w, float eps, View y, float* inv_rms) {
  const int64_t D = w.cols, rows = x.rows * (x.cols / D);
  with_compute_type(x.dtype, [&](auto type) {
    using T = decltype(type);
    with_piece<T>(D, {x, w, y}, [&](auto piece) {
      constexpr int N = decltype(piece)::value;
      const dim3 block = row_block(D / N);
      launch({"rmsnorm_forward", row_grid(rows, block), block, 0, stream}, forward_kernel<T, N>, head_rows<T>(x, D),
             w.as<T>(), eps, head_rows<T>(y, D), inv_rms, rows);
    });
  });
}

int64_t rmsnorm_backward_scratch_bytes(int64_t, int64_t cols) { return most_partials * cols * int64_t{sizeof(float)}; }

void rmsnorm_backward(cudaStream_t stream, ConstView x, ConstView w, const float* inv_rms, ConstView dy, View dx,
                      Write mode, View dw, void* scratch) {
  const int64_t D = w.cols, rows = x.rows * (x.cols / D);
  if (rows == 0) return;
  const View partials(scratch, DType::f32, partial_rows(rows, D), D);
  with_compute_type(x.dtype, [&](auto type) {
    using T = decltype(type);
    with_piece<T>(D, {x, w, dy, dx, partials}, [&](auto piece) {
      constexpr int N = decltype(piece)::value;
      const dim3 block = row_block(D / N, backward_threads);
      const size_t shared = block.y > 1 ? static_cast<size_t>(D) * sizeof(float) : 0;
      launch({"rmsnorm_backward", dim3(blocks(partials.rows)), block, shared, stream}, backward_kernel<T, N>,
             head_rows<T>(x, D), w.as<T>(), inv_rms, head_rows<T>(dy, D), head_rows<T>(dx, D), mode,
             partials.as<float>(), rows);
    });
  });
  add_column_sums(stream, partials, dw.as<float>());
}

}  // namespace tessera::cuda
