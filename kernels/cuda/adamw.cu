#include <cmath>

#include "kernels/cuda/launchers.h"
#include "kernels/cuda/rows.cuh"

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

}  // namespace

void adamw(cudaStream_t stream, const AdamWStep& step, int64_t n, float* master, float* exp_avg, float* exp_avg_sq,
           const float* gradient, View weights) {
  const bool no_copy = !weights || weights.data == master;
  const Factors f = factors_of(step);
  with_compute_type(no_copy ? DType::f32 : weights.dtype, [&](auto type) {
    using T = decltype(type);
    constexpr int wide = elements_of_16_bytes<float>;
    const State<T> state{master, exp_avg, exp_avg_sq, gradient, no_copy ? nullptr : weights.as<T>()};
    const bool aligned = multiple_of_16(master) && multiple_of_16(exp_avg) && multiple_of_16(exp_avg_sq) &&
                         multiple_of_16(gradient) && multiple_of_16(state.weights);
    const int64_t in_pieces = aligned ? n / wide * wide : 0;
    launch_range<T, wide>(stream, f, state, 0, in_pieces);
    launch_range<T, 1>(stream, f, state, in_pieces, n);
  });
}

}  // namespace tessera::cuda
