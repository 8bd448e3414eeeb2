#include "device/parallel.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/dynamic_map.h"

// clang-format off: Highway reads this file once for each target, and its headers in this order
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/optimizer.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

#include <algorithm>
#include <cmath>
#include <vector>

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

/// A block of a state, in fp32 while it is updated.
struct Block {
  HWY_ALIGN float values[state_block];

  void decode(const float* map, const uint8_t* codes, float absmax, int64_t n) {
    for (int64_t i = 0; i < n; ++i) values[i] = map[codes[i]] * absmax;
  }
  /// Makes codes of what decode() made of them, and returns their absmax.
  float encode(const NearestCode& nearest, uint8_t* codes, int64_t n) {
    const float absmax = largest(n);
    const Floats unit = all(absmax > 0 ? absmax : 1.0f);
    for_each_vector(n, [&](int64_t i, auto span) { store(hn::Div(load(values + i, span), unit), values + i, span); });
    for (int64_t i = 0; i < n; ++i) codes[i] = nearest(values[i]);
    return absmax;
  }
  float largest(int64_t n) const {
    const Floats found = fold(
        n, all(0.0f), [](Floats a, Floats b) { return hn::Max(a, b); },
        [&](int64_t i, auto span) { return hn::Abs(load(values + i, span)); });
    return hn::GetLane(hn::MaxOfLanes(FloatTag(), found));
  }
};

/// Blocks [begin, end) of the state.
void adamw_8bit_blocks(const AdamWStep& step, int64_t n, float* master, BlockState exp_avg, BlockState exp_avg_sq,
                       const float* gradient, View weights, int64_t begin, int64_t end) {
  const float *signed_map = dynamic_map(true).data(), *unsigned_map = dynamic_map(false).data();
  Block m, v;
  for (int64_t b = begin; b < end; ++b) {
    const int64_t first = b * state_block, size = std::min(state_block, n - first);
    m.decode(signed_map, exp_avg.codes + first, exp_avg.absmax[b], size);
    v.decode(unsigned_map, exp_avg_sq.codes + first, exp_avg_sq.absmax[b], size);
    const View written = !weights ? View() : weights.cols_from(first, size);
    adamw_range(step, master + first, m.values, v.values, gradient + first, written, 0, size);
    exp_avg.absmax[b] = m.encode(nearest_code(true), exp_avg.codes + first, size);
    exp_avg_sq.absmax[b] = v.encode(nearest_code(false), exp_avg_sq.codes + first, size);
  }
}

/// Σ x² in double, where the square of a float is exact.
double sum_of_squares(const float* x, int64_t n) {
  using HalfTag = hn::Half<FloatTag>;
  const hn::Rebind<double, HalfTag> tag;
  const auto squared = [&](int64_t i, auto sum) {
    const auto wide = hn::PromoteTo(tag, hn::LoadU(HalfTag(), x + i));
    return hn::MulAdd(wide, wide, sum);
  };
  const auto step = static_cast<int64_t>(hn::Lanes(tag));
  auto a = hn::Zero(tag), b = a, c = a, d = a;
  int64_t i = 0;
  for (; i + 4 * step <= n; i += 4 * step) {
    a = squared(i, a);
    b = squared(i + step, b);
    c = squared(i + 2 * step, c);
    d = squared(i + 3 * step, d);
  }
  double sum = hn::GetLane(hn::SumOfLanes(tag, hn::Add(hn::Add(a, b), hn::Add(c, d))));
  for (; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  return sum;
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(adamw_range);
HWY_EXPORT(adamw_8bit_blocks);
HWY_EXPORT(sum_of_squares);

namespace {

class CpuOptimizerKernels final : public OptimizerKernels {
 public:
  explicit CpuOptimizerKernels(int threads) : threads_(threads) {}

 private:
  void enqueue_adamw(Stream& stream, const AdamWStep& step, int64_t n, float* master, float* exp_avg, float* exp_avg_sq,
                     const float* gradient, View weights) override {
    stream.enqueue([=, threads = threads_] {
      parallel_for(threads, n, 1 << 14, [&](int64_t begin, int64_t end) {
        HWY_DYNAMIC_DISPATCH(adamw_range)(step, master, exp_avg, exp_avg_sq, gradient, weights, begin, end);
      });
    });
  }
  void enqueue_adamw_8bit(Stream& stream, const AdamWStep& step, int64_t n, float* master, BlockState exp_avg,
                          BlockState exp_avg_sq, const float* gradient, View weights) override {
    stream.enqueue([=, threads = threads_] {
      parallel_for(threads, (n + state_block - 1) / state_block, 64, [&](int64_t begin, int64_t end) {
        HWY_DYNAMIC_DISPATCH(adamw_8bit_blocks)
        (step, n, master, exp_avg, exp_avg_sq, gradient, weights, begin, end);
      });
    });
  }
  /// Summed in blocks of one size, and the blocks in their order: the same bits with any number of threads.
  void enqueue_squared_norm(Stream& stream, const float* x, int64_t n, double* sum) override {
    stream.enqueue([=, threads = threads_] {
      constexpr int64_t block = 1 << 15;
      std::vector<double> partial(static_cast<size_t>((n + block - 1) / block));
      parallel_for(threads, static_cast<int64_t>(partial.size()), 4, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b)
          partial[static_cast<size_t>(b)] =
              HWY_DYNAMIC_DISPATCH(sum_of_squares)(x + b * block, std::min(block, n - b * block));
      });
      for (const double part : partial) *sum += part;
    });
  }

  const int threads_;
};

}  // namespace

std::unique_ptr<OptimizerKernels> make_cpu_optimizer(int threads) {
  return std::make_unique<CpuOptimizerKernels>(threads);
}

}  // namespace tessera
#endif
