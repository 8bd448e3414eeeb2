#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rows.cuh"
#include "kernels/dynamic_map.h"

namespace tessera::cuda {
namespace {

/// What the step comes to for every element.
struct Factors {
  float gradient_scale, decay, first_rate, second_rate, beta2, size, deviation_scale, epsilon;
};
Factors factors_of(const AdamWStep& step) {
  return {step.gradient_scale,
          static_cast<float>(1 - static_cast<double>(step.learning_rate) * step.weight_decay),
          static_cast<float>(1 - step.beta1),
          static_cast<float>(1 - step.beta2),
          static_cast<float>(step.beta2),
          step.learning_rate / step.bias_correction1,
          1 / std::sqrt(step.bias_correction2),
          step.epsilon};
}

/// The state of a shard, or of a piece of it.
template <typename T>
struct State {
  float *master, *exp_avg, *exp_avg_sq;
  const float* gradient;
  T* weights;  // or null
};

template <typename T, int N>
__global__ void __launch_bounds__(block_threads) adamw_kernel(Factors f, State<T> state, int64_t n) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * block_threads + threadIdx.x) * N;
  if (i >= n) return;
  float p[N], m[N], v[N], g[N];
  load(state.master + i, p);
  load(state.exp_avg + i, m);
  load(state.exp_avg_sq + i, v);
  load(state.gradient + i, g);
  for (int j = 0; j < N; ++j) {
    const float scaled = g[j] * f.gradient_scale;
    m[j] += f.first_rate * (scaled - m[j]);
    v[j] = v[j] * f.beta2 + scaled * scaled * f.second_rate;
    p[j] = p[j] * f.decay - f.size * (m[j] / (sqrtf(v[j]) * f.deviation_scale + f.epsilon));
  }
  store(p, state.master + i);
  store(m, state.exp_avg + i);
  store(v, state.exp_avg_sq + i);
  if (state.weights != nullptr) store(p, state.weights + i);
}

template <typename T, int N>
void launch_range(cudaStream_t stream, const Factors& f, const State<T>& state, int64_t begin, int64_t end) {
  const State<T> range{state.master + begin, state.exp_avg + begin, state.exp_avg_sq + begin, state.gradient + begin,
                       state.weights != nullptr ? state.weights + begin : nullptr};
  launch({"adamw", dim3(blocks(ceil_div(end - begin, N * block_threads))), dim3(block_threads), 0, stream},
         adamw_kernel<T, N>, f, range, end - begin);
}

/// Both maps, signed first: an argument of the kernel.
struct Maps {
  float numbers[2][256];
};
Maps dynamic_maps() {
  Maps maps;
  std::copy(dynamic_map(true).begin(), dynamic_map(true).end(), maps.numbers[0]);
  std::copy(dynamic_map(false).begin(), dynamic_map(false).end(), maps.numbers[1]);
  return maps;
}

/// The largest value of the block's threads.
__device__ float block_max(float value, float* partial) {
  for (int offset = 16; offset > 0; offset /= 2) value = fmaxf(value, __shfl_xor_sync(whole_warp, value, offset));
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  float largest = partial[0];
  for (int warp = 1; warp < state_block / 32; ++warp) largest = fmaxf(largest, partial[warp]);
  return largest;
}

/// The nearest number of the map; the lower of two that are as near.
__device__ uint8_t nearest(const float* map, float scaled) {
  int above = 0;  // how many numbers lie below the value
  for (int step = 128; step > 0; step /= 2)
    if (map[above + step - 1] < scaled) above += step;
  above = max(1, min(above, 255));
  return static_cast<uint8_t>(scaled - map[above - 1] <= map[above] - scaled ? above - 1 : above);
}

/// A thread for each element of a state's block.
template <typename T>
__global__ void __launch_bounds__(state_block)
    adamw_8bit_kernel(Factors f, Maps maps, float* master, BlockState exp_avg, BlockState exp_avg_sq,
                      const float* gradient, T* weights, int64_t n) {
  __shared__ float map[2][256];
  __shared__ float partial[2][state_block / 32];
  const int thread = static_cast<int>(threadIdx.x);
  map[0][thread] = maps.numbers[0][thread];
  map[1][thread] = maps.numbers[1][thread];
  __syncthreads();
  const int64_t block = blockIdx.x, i = block * state_block + thread;
  const bool there = i < n;
  float m = 0, v = 0;
  if (there) {
    m = map[0][exp_avg.codes[i]] * exp_avg.absmax[block];
    v = map[1][exp_avg_sq.codes[i]] * exp_avg_sq.absmax[block];
    const float scaled = gradient[i] * f.gradient_scale;
    m += f.first_rate * (scaled - m);
    v = v * f.beta2 + scaled * scaled * f.second_rate;
    const float p[1] = {master[i] * f.decay - f.size * (m / (sqrtf(v) * f.deviation_scale + f.epsilon))};
    store(p, master + i);
    if (weights != nullptr) store(p, weights + i);
  }
  const float m_max = block_max(fabsf(m), partial[0]), v_max = block_max(v, partial[1]);  // all have read the old ones
  if (there) {
    exp_avg.codes[i] = nearest(map[0], m / (m_max > 0 ? m_max : 1.0f));
    exp_avg_sq.codes[i] = nearest(map[1], v / (v_max > 0 ? v_max : 1.0f));
  }
  if (thread == 0) {
    exp_avg.absmax[block] = m_max;
    exp_avg_sq.absmax[block] = v_max;
  }
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

int64_t norm_scratch_bytes(int64_t n) { return norm_blocks(n) * int64_t{sizeof(double)}; }

class CudaOptimizerKernels final : public OptimizerKernels {
 public:
  explicit CudaOptimizerKernels(std::shared_ptr<Workspace> workspace) : workspace_(std::move(workspace)) {}

  int64_t workspace_bytes(const LargestShapes& s) override { return norm_scratch_bytes(s.shard); }

 private:
  void enqueue_adamw(Stream& stream, const AdamWStep& step, int64_t n, float* master, float* exp_avg, float* exp_avg_sq,
                     const float* gradient, View weights) override {
    const bool no_copy = !weights || weights.data == master;
    const cudaStream_t on = cuda_stream(stream);
    const Factors f = factors_of(step);
    with_compute_type(no_copy ? DType::f32 : weights.dtype, [&](auto type) {
      using T = decltype(type);
      constexpr int wide = elements_of_16_bytes<float>;
      const State<T> state{master, exp_avg, exp_avg_sq, gradient, no_copy ? nullptr : weights.as<T>()};
      const bool aligned = multiple_of_16(master) && multiple_of_16(exp_avg) && multiple_of_16(exp_avg_sq) &&
                           multiple_of_16(gradient) && multiple_of_16(state.weights);
      const int64_t in_pieces = aligned ? n / wide * wide : 0;
      launch_range<T, wide>(on, f, state, 0, in_pieces);
      launch_range<T, 1>(on, f, state, in_pieces, n);
    });
  }

  void enqueue_adamw_8bit(Stream& stream, const AdamWStep& step, int64_t n, float* master, BlockState exp_avg,
                          BlockState exp_avg_sq, const float* gradient, View weights) override {
    if (n == 0) return;
    const bool no_copy = !weights || weights.data == master;
    with_compute_type(no_copy ? DType::f32 : weights.dtype, [&](auto type) {
      using T = decltype(type);
      launch({"adamw_8bit", dim3(blocks(ceil_div(n, state_block))), dim3(state_block), 0, cuda_stream(stream)},
             adamw_8bit_kernel<T>, factors_of(step), dynamic_maps(), master, exp_avg, exp_avg_sq, gradient,
             no_copy ? nullptr : weights.as<T>(), n);
    });
  }

  void enqueue_squared_norm(Stream& stream, const float* x, int64_t n, double* sum) override {
    if (n == 0) return;
    const cudaStream_t on = cuda_stream(stream);
    auto* const partials = static_cast<double*>(workspace_->room(stream, norm_scratch_bytes(n)));
    const auto kernel = multiple_of_16(x) ? squared_norm_kernel<4> : squared_norm_kernel<1>;
    launch({"squared_norm", dim3(blocks(norm_blocks(n))), dim3(block_threads), 0, on}, kernel, x, n, partials);
    launch({"add_partials", dim3(1), dim3(block_threads), 0, on}, add_partials_kernel, partials, norm_blocks(n), sum);
  }

  const std::shared_ptr<Workspace> workspace_;
};

}  // namespace

std::unique_ptr<OptimizerKernels> make_optimizer(std::shared_ptr<Workspace> workspace) {
  return std::make_unique<CudaOptimizerKernels>(std::move(workspace));
}

}  // namespace tessera::cuda
