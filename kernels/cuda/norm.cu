#include <utility>

#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rows.cuh"

namespace tessera::cuda {
namespace {

// Both norms are one: a row of x is `heads` pieces of D = w.cols elements, here rows of their own, and the norm of a
// whole row is that with one head.  r = inv_rms, x̂ = x·r, y = added + x̂·(w + offset).

/// Where the rows are that are the heads of a matrix's rows.
struct Heads {
  uint32_t count, D;
  /// The first element of `row` of a matrix that has them.
  template <typename T>
  __device__ T* find(const Rows<T>& matrix, uint32_t row) const {
    return matrix[row / count] + static_cast<int64_t>(row % count * D);
  }
};

template <typename T, int N>
__global__ void __launch_bounds__(block_threads)
    forward_kernel(Heads heads, Rows<const T> x_rows, const T* w, RmsNorm norm, Rows<const T> added_rows,
                   Rows<T> y_rows, float* inv_rms, uint32_t rows) {
  __shared__ float partial[block_threads / 32];
  const uint32_t D = heads.D, row = blockIdx.x * blockDim.y + threadIdx.y;
  const bool mine = row < rows;
  const T* x = mine ? heads.find(x_rows, row) : nullptr;
  constexpr int kept = N == 1 ? 8 : 32 / N;
  Packed<T, N> kept_x[kept] = {};
  float squares = 0;
  const auto add_squares = [&](const Packed<T, N>& packed) {
    float xi[N];
    unpack(packed, xi);
    for (int j = 0; j < N; ++j) squares += xi[j] * xi[j];
  };
  if (mine) {
    for_kept_pieces<N, kept>(D, [&](int p, int64_t i) { load(x + i, kept_x[p]); });
    for_kept_pieces<N, kept>(D, [&](int p, int64_t) { add_squares(kept_x[p]); });
    for_other_pieces<N, kept>(D, [&](int64_t i) {
      Packed<T, N> again;
      load(x + i, again);
      add_squares(again);
    });
  }
  const float r = 1 / sqrtf(row_sum(squares, partial) / static_cast<float>(D) + norm.eps);
  if (!mine) return;
  if (threadIdx.x == 0) inv_rms[row] = r;
  T* y = heads.find(y_rows, row);
  const T* added = added_rows.data != nullptr ? heads.find(added_rows, row) : nullptr;
  const auto write = [&](const Packed<T, N>& packed, int64_t i) {
    float xi[N], wi[N], yi[N];
    unpack(packed, xi);
    load(w + i, wi);
    for (int j = 0; j < N; ++j) yi[j] = xi[j] * r * (wi[j] + norm.weight_offset);
    if (added != nullptr) {
      float before[N];
      load(added + i, before);
      for (int j = 0; j < N; ++j) yi[j] += before[j];
    }
    store(yi, y + i);
  };
  for_kept_pieces<N, kept>(D, [&](int p, int64_t i) { write(kept_x[p], i); });
  for_other_pieces<N, kept>(D, [&](int64_t i) {
    Packed<T, N> again;
    load(x + i, again);
    write(again, i);
  });
}

constexpr int backward_threads = 512;

/// A piece for each thread of a row where that suffices: so little is kept of each that two blocks run at a time.
dim3 backward_block(int64_t pieces) {
  unsigned threads = 1;
  while (threads < backward_threads && threads < pieces) threads *= 2;
  return {threads, backward_threads / threads, 1};
}

/// A piece of what a row's gradient is made from.
template <typename T, int N>
struct Operands {
  Packed<T, N> x, dy, dx;  // dx: what is added to, or zeros
};

/// What has a part of the block's shared memory: a row's threads, or a warp's where those are fewer.
__host__ __device__ inline unsigned threads_of_part(unsigned threads_of_row) {
  return threads_of_row > 32 ? threads_of_row : 32;
}

/// to = the sums of the block's rows: first of those in a warp, then of the warps or rows in their order.  Shared: D
/// floats for each part, where there are several rows.
template <int N, int kept>
__device__ void write_sums(float (&sums)[kept][N], uint32_t D, float* to) {
  if (blockDim.y == 1) {
    for_kept_pieces<N, kept>(D, [&](int p, int64_t i) { store(sums[p], to + i); });
    return;
  }
  for (int offset = static_cast<int>(blockDim.x); offset < 32; offset *= 2)
    for (auto& piece : sums)
      for (float& sum : piece) sum += __shfl_xor_sync(whole_warp, sum, offset);
  float* const shared = dynamic_shared<float>();
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x, threads = threads_of_part(blockDim.x);
  if (thread % threads < blockDim.x)
    for_kept_pieces<N, kept>(D, [&](int p, int64_t i) { store(sums[p], shared + thread / threads * D + i); });
  __syncthreads();
  for (uint32_t i = thread; i < D; i += backward_threads) {
    float sum = 0;
    for (unsigned part = 0; part < backward_threads / threads; ++part) sum += shared[part * D + i];
    to[i] = sum;
  }
}

/// With w the weight and its offset: dx = (or +=) r (dy·w - x̂ mean(dy·w·x̂)); partials[block, :] = Σ dy·x̂ over the rows
/// of the block: every gridDim.x-th of those that it can take at a time.  Shared: as write_sums() says. With one kept
/// piece a row has no others.
template <typename T, int N, int kept>
__global__ void __launch_bounds__(backward_threads, kept == 1 ? 2 : 1)
    backward_kernel(Heads heads, Rows<const T> x_rows, const T* w, float weight_offset, const float* inv_rms,
                    Rows<const T> dy_rows, Rows<T> dx_rows, Write mode, float* partials, uint32_t rows) {
  __shared__ float partial[backward_threads / 32];
  const uint32_t D = heads.D, step = gridDim.x * blockDim.y;
  float* const dw = partials + int64_t{blockIdx.x} * D;
  const auto for_others = [&](const auto& f) {
    if constexpr (kept > 1) for_other_pieces<N, kept>(D, f);
  };
  float kept_dw[kept][N] = {};
  for_others([&](int64_t i) {
    const float zero[N] = {};
    store(zero, dw + i);
  });

  for (uint32_t first = blockIdx.x * blockDim.y; first < rows; first += step) {
    const uint32_t row = first + threadIdx.y;
    const bool mine = row < rows;
    const T* x = mine ? heads.find(x_rows, row) : nullptr;
    const T* dy = mine ? heads.find(dy_rows, row) : nullptr;
    T* dx = mine ? heads.find(dx_rows, row) : nullptr;
    const float r = mine ? inv_rms[row] : 0;
    Operands<T, N> kept_row[kept] = {};
    float dot = 0;
    const auto add_dot = [&](const Operands<T, N>& of, int64_t i) {
      float xi[N], dyi[N], wi[N];
      unpack(of.x, xi);
      unpack(of.dy, dyi);
      load(w + i, wi);
      for (int j = 0; j < N; ++j) dot += dyi[j] * (wi[j] + weight_offset) * xi[j];
    };
    const auto load_row = [&](int64_t i, Operands<T, N>& to) {
      load(x + i, to.x);
      load(dy + i, to.dy);
      if (mode == Write::accumulate)
        load(dx + i, to.dx);  // asked for now, and not behind the sum
      else
        to.dx = {};
    };
    if (mine) {
      for_kept_pieces<N, kept>(D, [&](int p, int64_t i) { load_row(i, kept_row[p]); });
      for_kept_pieces<N, kept>(D, [&](int p, int64_t i) { add_dot(kept_row[p], i); });
      for_others([&](int64_t i) {
        Operands<T, N> again;
        load_row(i, again);
        add_dot(again, i);
      });
    }
    const float mean = row_sum(dot, partial) * r / static_cast<float>(D);
    if (!mine) continue;  // for whole rows, and in the last round only
    const auto write = [&](const Operands<T, N>& of, int64_t i, float(&dwi)[N]) {
      float xi[N], dyi[N], wi[N], dxi[N];
      unpack(of.x, xi);
      unpack(of.dy, dyi);
      unpack(of.dx, dxi);
      load(w + i, wi);
      for (int j = 0; j < N; ++j) {
        const float normed = xi[j] * r;
        dwi[j] += dyi[j] * normed;
        dxi[j] += r * (dyi[j] * (wi[j] + weight_offset) - normed * mean);
      }
      store(dxi, dx + i);
    };
    for_kept_pieces<N, kept>(D, [&](int p, int64_t i) { write(kept_row[p], i, kept_dw[p]); });
    for_others([&](int64_t i) {
      Operands<T, N> again;
      float dwi[N];
      load_row(i, again);
      load(dw + i, dwi);
      write(again, i, dwi);
      store(dwi, dw + i);
    });
  }

  write_sums<N, kept>(kept_dw, D, dw);
}

/// Two blocks for each of the 132 processors of an H100: all run at once, and the sums of 264 rows are little beside
/// some thousands of rows.  The same on every GPU, or the bits were not.
constexpr int64_t most_partials = 264;

/// Returns how many rows of partials there are.
template <typename T, int N, int kept>
int64_t launch_backward(cudaStream_t stream, ConstView x, ConstView w, float weight_offset, const float* inv_rms,
                        ConstView dy, View dx, Write mode, const View& partials) {
  const Heads heads{narrow<uint32_t>(x.cols / w.cols), narrow<uint32_t>(w.cols)};
  const auto rows = narrow<int32_t>(x.rows * heads.count);
  const dim3 block = backward_block(w.cols / N);
  const size_t parts = block.y > 1 ? backward_threads / threads_of_part(block.x) : 0;
  const int64_t grid = std::min<int64_t>(ceil_div(rows, block.y), most_partials);
  launch({"rmsnorm_backward", dim3(blocks(grid)), block, parts * static_cast<size_t>(w.cols) * sizeof(float), stream},
         backward_kernel<T, N, kept>, heads, rows_of<T>(x), w.as<T>(), weight_offset, inv_rms, rows_of<T>(dy),
         rows_of<T>(dx), mode, partials.as<float>(), rows);
  return grid;
}

int64_t backward_scratch_bytes(int64_t cols) { return most_partials * cols * int64_t{sizeof(float)}; }

class CudaNormKernels final : public NormKernels {
 public:
  explicit CudaNormKernels(std::shared_ptr<Workspace> workspace) : workspace_(std::move(workspace)) {}

  int64_t workspace_bytes(const LargestShapes& s) override { return backward_scratch_bytes(std::max(s.C, s.H * s.D)); }

 private:
  void enqueue_rmsnorm_forward(Stream& stream, ConstView x, ConstView w, const RmsNorm& norm, ConstView added, View y,
                               float* inv_rms) override {
    const Heads heads{narrow<uint32_t>(x.cols / w.cols), narrow<uint32_t>(w.cols)};
    const auto rows = narrow<int32_t>(x.rows * heads.count);
    const ConstView other = added ? added : ConstView(nullptr, x.dtype, 0, 0);
    with_compute_type(x.dtype, [&](auto type) {
      using T = decltype(type);
      with_piece<T>(w.cols, {x, w, added, y}, [&](auto piece) {
        constexpr int N = decltype(piece)::value;
        const dim3 block = row_block(w.cols / N);
        launch({"rmsnorm_forward", row_grid(rows, block), block, 0, cuda_stream(stream)}, forward_kernel<T, N>, heads,
               rows_of<T>(x), w.as<T>(), norm, rows_of<T>(other), rows_of<T>(y), inv_rms, rows);
      });
    });
  }

  void enqueue_rmsnorm_backward(Stream& stream, ConstView x, ConstView w, const RmsNorm& norm, const float* inv_rms,
                                ConstView dy, View dx, Write mode, View dw) override {
    if (x.rows == 0) return;
    const cudaStream_t on = cuda_stream(stream);
    View partials(workspace_->room(stream, backward_scratch_bytes(w.cols)), DType::f32, most_partials, w.cols);
    with_compute_type(x.dtype, [&](auto type) {
      using T = decltype(type);
      with_piece<T>(w.cols, {x, w, dy, dx, partials}, [&](auto piece) {
        constexpr int N = decltype(piece)::value, kept_of_wide_rows = N == 1 ? 4 : 16 / N;
        if (w.cols <= N * backward_threads)
          partials.rows = launch_backward<T, N, 1>(on, x, w, norm.weight_offset, inv_rms, dy, dx, mode, partials);
        else
          partials.rows =
              launch_backward<T, N, kept_of_wide_rows>(on, x, w, norm.weight_offset, inv_rms, dy, dx, mode, partials);
      });
    });
    if (dw) add_column_sums(on, partials, dw.as<float>());
  }

  const std::shared_ptr<Workspace> workspace_;
};

}  // namespace

std::unique_ptr<NormKernels> make_norm(std::shared_ptr<Workspace> workspace) {
  return std::make_unique<CudaNormKernels>(std::move(workspace));
}

}  // namespace tessera::cuda
