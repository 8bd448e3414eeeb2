#include "device/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

// clang-format off: Highway reads this file once for each target, and its headers in this order
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/adamw.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

/// The state of a shard, or of a piece of it.
struct AdamWState {
  float* master;
  float* exp_avg;
  float* exp_avg_sq;
  const float* gradient;
};

/// `written(i, p, span)` gets each new vector of master weights.
template <typename Written>
HWY_INLINE void update(const AdamWStep& step, int64_t n, const AdamWState& state, const Written& written) {
  const Floats gradient_scale = all(step.gradient_scale), epsilon = all(step.epsilon);
  const Floats decay = all(static_cast<float>(1 - static_cast<double>(step.learning_rate) * step.weight_decay));
  const Floats first_rate = all(static_cast<float>(1 - step.beta1));
  const Floats second_rate = all(static_cast<float>(1 - step.beta2)), beta2 = all(static_cast<float>(step.beta2));
  const Floats size = all(step.learning_rate / step.bias_correction1);
  const Floats deviation_scale = all(1 / std::sqrt(step.bias_correction2));
  for_each_vector(n, [&](int64_t i, auto span) {
    const Floats g = hn::Mul(load(state.gradient + i, span), gradient_scale);
    const Floats m_before = load(state.exp_avg + i, span);
    const Floats m = hn::MulAdd(first_rate, hn::Sub(g, m_before), m_before);
    const Floats v = hn::MulAdd(hn::Mul(g, g), second_rate, hn::Mul(load(state.exp_avg_sq + i, span), beta2));
    const Floats deviation = hn::MulAdd(hn::Sqrt(v), deviation_scale, epsilon);
    const Floats decayed = hn::Mul(load(state.master + i, span), decay);
    const Floats p = hn::NegMulAdd(size, hn::Div(m, deviation), decayed);
    store(m, state.exp_avg + i, span);
    store(v, state.exp_avg_sq + i, span);
    store(p, state.master + i, span);
    written(i, p, span);
  });
}

/// Elements [begin, end) of the shard.
void adamw_range(const AdamWStep& step, float* master, float* exp_avg, float* exp_avg_sq, const float* gradient,
                 View weights, int64_t begin, int64_t end) {
  const AdamWState state{master + begin, exp_avg + begin, exp_avg_sq + begin, gradient + begin};
  if (!weights || weights.data == master) {
    update(step, end - begin, state, [](int64_t, Floats, auto) {});
    return;
  }
  with_compute_type(weights.dtype, [&](auto type) {
    auto* to = weights.as<decltype(type)>() + begin;
    update(step, end - begin, state, [&](int64_t i, Floats p, auto span) { store(p, to + i, span); });
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(adamw_range);

void CpuKernels::adamw(Stream& stream, const AdamWStep& step, int64_t n, float* master, float* exp_avg,
                       float* exp_avg_sq, const float* gradient, View weights) {
  stream.enqueue([=, threads = threads_] {
    parallel_for(threads, n, 1 << 14, [&](int64_t begin, int64_t end) {
      HWY_DYNAMIC_DISPATCH(adamw_range)(step, master, exp_avg, exp_avg_sq, gradient, weights, begin, end);
    });
  });
}

}  // namespace tessera
#endif
