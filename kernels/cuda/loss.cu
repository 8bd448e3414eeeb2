#include <cfloat>
#include <utility>

#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rows.cuh"

namespace tessera::cuda {
namespace {

// The gradient of a row needs the sum over all of it: logits are used twice.  Rows are long, 200 to 600 KB, and all
// those in work at a time are more than a GPU's cache holds.  So what there is room for stays where it was read: 24
// logits of each thread in registers, then as many as the block's shared memory takes.  Only the rest is read again,
// the piece that was read longest ago first.  On an H100, whose cache has 50 MB, that is 24 MB of the 132 rows in work
// where V is 128256, 37 MB where it is 151936, and 11 MB of 264 rows where it is 49152.

constexpr int kept_logits = 24;

/// Long rows take a processor each, so that the fewest are in work; of shorter ones two share one, and one is read
/// while the other waits for its sum.
constexpr int most_threads = 1024;
int64_t threads_for(int64_t V) {
  return std::clamp<int64_t>(round_up(ceil_div(V, kept_logits), 32), 32,
                             V > (1 << 16) ? most_threads : most_threads / 2);
}

/// The largest of some logits, at least -FLT_MAX, and Σ e^(x - largest); a NaN among them makes the sum NaN.
struct RowSum {
  float largest = -FLT_MAX, sum = 0;

  template <int count, int N>
  __device__ void add(const float (&x)[count][N]) {
    float higher = largest, added = 0;
    for (int k = 0; k < count; ++k)
      for (int j = 0; j < N; ++j) higher = fmaxf(higher, x[k][j]);
    for (int k = 0; k < count; ++k)
      for (int j = 0; j < N; ++j) added += expf(x[k][j] - higher);
    sum = sum * expf(largest - higher) + added;
    largest = higher;
  }
};

__device__ RowSum merge(RowSum a, RowSum b) {
  const float largest = fmaxf(a.largest, b.largest);
  return {largest, a.sum * expf(a.largest - largest) + b.sum * expf(b.largest - largest)};
}
/// Of the lanes of a warp, as its first lane has it: merged the other way round it may differ in the last bit.
__device__ RowSum merge_warp(RowSum mine) {
  for (int offset = 16; offset > 0; offset /= 2) {
    const float largest = __shfl_xor_sync(whole_warp, mine.largest, offset);
    const float sum = __shfl_xor_sync(whole_warp, mine.sum, offset);
    mine = merge(mine, {largest, sum});
  }
  return {__shfl_sync(whole_warp, mine.largest, 0), __shfl_sync(whole_warp, mine.sum, 0)};
}
/// merge() over the threads of the block, the same bits in each of them.
__device__ RowSum merge_block(RowSum mine, RowSum* partial) {
  mine = merge_warp(mine);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = mine;
  __syncthreads();
  return merge_warp(threadIdx.x % 32 < blockDim.x / 32 ? partial[threadIdx.x % 32] : RowSum{});
}

/// Takes logits as they are.
struct Raw {
  __device__ float z(float x) const { return x; }
  __device__ float times_slope(float gradient, float /*z*/) const { return gradient; }
};
/// As LogitTransform says; the slope is dz/dx less `scale`.
struct Transformed {
  float scale, softcap;
  __device__ float z(float x) const { return softcap > 0 ? soft_capped(scale * x, softcap) : scale * x; }
  __device__ float times_slope(float gradient, float z) const {
    return softcap > 0 ? gradient * soft_cap_slope(z, softcap) : gradient;
  }
};

/// f(Raw()) or f(Transformed()).
template <typename F>
void with_transform(const LogitTransform& transform, const F& f) {
  if (transform.none())
    f(Raw());
  else
    f(Transformed{transform.scale, transform.softcap});
}

/// The logits of a thread, transformed as they are read: every piece p that begins at first + p · step, the first
/// `registers` of them in registers, `shared` more in its own part of the block's shared memory.
template <typename Transform, int N>
struct Logits {
  static constexpr int registers = N == 1 ? 16 : kept_logits / N;
  static constexpr int together = 4;  // pieces whose loads do not wait for each other

  const Transform transform;
  const float* row;
  int first, step, V, shared;
  float kept[registers][N];

  __device__ Logits(const Transform& transform_, const float* row_, int V_, int shared_)
      : transform(transform_),
        row(row_),
        first(static_cast<int>(threadIdx.x) * N),
        step(static_cast<int>(blockDim.x) * N),
        V(V_),
        shared(shared_) {}

  __device__ int at(int p) const { return first + p * step; }
  __device__ float* place(int p) const { return dynamic_shared<float>() + at(p - registers); }
  /// -∞, which adds nothing, behind the end.
  __device__ void load_piece(int p, float (&x)[N]) const {
    if (at(p) + N <= V) {
      load(row + at(p), x);
#pragma unroll
      for (int j = 0; j < N; ++j) x[j] = transform.z(x[j]);
      return;
    }
#pragma unroll
    for (int j = 0; j < N; ++j) x[j] = at(p) + j < V ? transform.z(row[at(p) + j]) : -INFINITY;
  }

  /// Reads them all, and keeps what there is room for.
  __device__ RowSum sum() {
    RowSum sum;
#pragma unroll
    for (int p = 0; p < registers; ++p) load_piece(p, kept[p]);
    sum.add(kept);
    for (int p = registers; at(p) < V; p += together) {
      float x[together][N];
#pragma unroll
      for (int k = 0; k < together; ++k) load_piece(p + k, x[k]);
      sum.add(x);
#pragma unroll
      for (int k = 0; k < together; ++k)
        if (p + k < registers + shared) store(x[k], place(p + k));
    }
    return sum;
  }

  /// f(x, i) for each piece, i where it begins.  Those that were read last come first: they are the ones read again.
  /// f may write where logits before the end of its piece are: the threads meet when they have read up to there.
  template <typename F>
  __device__ void for_each(const F& f) const {
    float x[together][N];
    for (int p = registers + shared; p * step < V; p += together) {
#pragma unroll
      for (int k = 0; k < together; ++k) load_piece(p + k, x[k]);
      __syncthreads();
#pragma unroll
      for (int k = 0; k < together; ++k)
        if (at(p + k) < V) f(x[k], at(p + k));
    }
    for (int p = registers; p < registers + shared && at(p) < V; ++p) {
      load(place(p), x[0]);
      f(x[0], at(p));
    }
#pragma unroll
    for (int p = 0; p < registers; ++p)
      if (at(p) < V) f(kept[p], at(p));
  }
};

/// row[i … i+N-1] = values, up to the row's end at V.
template <typename T, int N>
__device__ void store_piece(const float (&values)[N], T* row, int64_t i, int V) {
  if (i + N <= V) return store(values, row + i);
#pragma unroll
  for (int j = 0; j < N; ++j)
    if (i + j < V) from_float(values[j], row + i + j);
}

/// losses[t] of one row a block, 0 where its target is ignored, and its gradient where there is room for one: it may
/// begin where the logits do.  Shared: `shared` pieces of N floats for each thread.
template <typename Transform, typename T, int N>
__global__ void __launch_bounds__(most_threads)
    cross_entropy_kernel(Transform transform, Rows<const float> logits, const int32_t* targets, int V, float scale,
                         Rows<T> dlogits, double* losses, int shared) {
  __shared__ RowSum partial[most_threads / 32];
  const int64_t t = blockIdx.x;
  const int32_t target = targets[t];
  if (target < 0) {
    if (threadIdx.x == 0) losses[t] = 0;
    const float zero[N] = {};
    if (dlogits.data != nullptr) for_pieces<N>(V, [&](int64_t i) { store_piece(zero, dlogits[t], i, V); });
    return;
  }
  Logits<Transform, N> mine(transform, logits[t], V, shared);
  const RowSum my_sum = mine.sum();
  const float at_target =
      transform.z(logits[t][target]);  // before any thread writes to the row: merge_block has a barrier
  const RowSum row = merge_block(my_sum, partial);
  if (threadIdx.x == 0)
    losses[t] = log(static_cast<double>(row.sum)) + (static_cast<double>(row.largest) - static_cast<double>(at_target));
  if (dlogits.data == nullptr) return;
  T* const d = dlogits[t];
  const float factor = scale / row.sum;
  mine.for_each([&](const float(&x)[N], int64_t i) {
    float gradient[N];
    for (int j = 0; j < N; ++j) gradient[j] = transform.times_slope(expf(x[j] - row.largest) * factor, x[j]);
    store_piece(gradient, d, i, V);
  });
  if (threadIdx.x == target / N % blockDim.x)  // the thread that has just written there
    from_float(transform.times_slope((expf(at_target - row.largest) / row.sum - 1) * scale, at_target), d + target);
}

template <typename Transform, int N>
__global__ void __launch_bounds__(block_threads)
    transform_kernel(Transform transform, Rows<float> logits, int64_t rows, int64_t cols) {
  const int64_t row = row_of_thread();
  if (row >= rows) return;
  for_pieces<N>(cols, [&](int64_t i) {
    float x[N];
    load(logits[row] + i, x);
    for (int j = 0; j < N; ++j) x[j] = transform.z(x[j]);
    store(x, logits[row] + i);
  });
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

/// Of a block's shared memory: its partial sums, and what CUDA takes of each block's.
constexpr int64_t reserved_bytes = 2048;

/// An empty gradient: losses only.
template <typename T, typename Transform>
void launch_rows(cudaStream_t stream, const Transform& transform, ConstView logits, const int32_t* targets, float scale,
                 const View& gradient, double* losses) {
  constexpr int64_t wide = elements_of_16_bytes<float>;
  // The last piece of a row may be shorter.
  with_piece<float>(round_up(logits.cols, wide), {logits, gradient}, [&](auto piece) {
    constexpr int N = decltype(piece)::value;
    const int64_t threads = threads_for(logits.cols), piece_bytes = threads * N * int64_t{sizeof(float)};
    const int64_t others = std::max<int64_t>(ceil_div(logits.cols, threads * N) - Logits<Transform, N>::registers, 0);
    const int64_t room = largest_shared_bytes() / (threads > most_threads / 2 ? 1 : 2) - reserved_bytes;
    const int64_t shared = gradient.data != nullptr ? std::min(others, room / piece_bytes) : 0;
    launch({"cross_entropy", dim3(blocks(logits.rows)), dim3(static_cast<unsigned>(threads)),
            static_cast<size_t>(shared * piece_bytes), stream},
           cross_entropy_kernel<Transform, T, N>, transform, rows_of<float>(logits), targets, narrow<int>(logits.cols),
           scale, rows_of<T>(gradient), losses, narrow<int>(shared));
  });
}

int64_t scratch_bytes(int64_t T) { return T * int64_t{sizeof(double)}; }

class CudaLossKernels final : public LossKernels {
 public:
  explicit CudaLossKernels(std::shared_ptr<Workspace> workspace) : workspace_(std::move(workspace)) {}

  int64_t workspace_bytes(const LargestShapes& s) override { return scratch_bytes(s.T); }

 private:
  void enqueue_cross_entropy(Stream& stream, ConstView logits, const int32_t* targets, const LogitTransform& transform,
                             float gradient_scale, View dlogits, double* loss_sum) override {
    auto* const losses = static_cast<double*>(workspace_->room(stream, scratch_bytes(logits.rows)));
    const cudaStream_t on = cuda_stream(stream);
    const View gradient = dlogits ? dlogits : View(nullptr, DType::f32, logits.rows, logits.cols);
    const float scale = gradient_scale * transform.scale;
    with_transform(transform, [&](auto z) {
      with_compute_type(gradient.dtype, [&](auto type) {
        launch_rows<decltype(type)>(on, z, logits, targets, scale, gradient, losses);
      });
    });
    if (logits.rows > 0)
      launch({"add_in_order", dim3(1), dim3(block_threads), 0, on}, add_in_order_kernel, losses, logits.rows, loss_sum);
  }

  void enqueue_transform_logits(Stream& stream, const LogitTransform& transform, View logits) override {
    with_transform(transform, [&](auto z) {
      with_piece<float>(logits.cols, {logits}, [&](auto piece) {
        constexpr int N = decltype(piece)::value;
        const dim3 block = row_block(logits.cols / N);
        launch({"transform_logits", row_grid(logits.rows, block), block, 0, cuda_stream(stream)},
               transform_kernel<decltype(z), N>, z, rows_of<float>(logits), logits.rows, logits.cols);
      });
    });
  }

  const std::shared_ptr<Workspace> workspace_;
};

}  // namespace

std::unique_ptr<LossKernels> make_loss(std::shared_ptr<Workspace> workspace) {
  return std::make_unique<CudaLossKernels>(std::move(workspace));
}

}  // namespace tessera::cuda
