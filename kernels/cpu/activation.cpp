#include "device/parallel.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/gelu.h"

// clang-format off: Highway reads this file once for each target, and its headers in this order
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/activation.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

/// What the activation of a gate x is made of: x·value, with the slope value·(1 + x·rest).
struct Gate {
  Floats value, rest;
};

/// sigmoid(x) and 1 - sigmoid(x), where e = e^-|x|, which never overflows: both to full relative precision.
HWY_INLINE Gate sigmoid(Floats x, Floats e) {
  const Floats larger = reciprocal(hn::Add(all(1), e));
  const Floats smaller = hn::Mul(e, larger);
  const auto negative = hn::Lt(x, all(0));
  return {hn::IfThenElse(negative, smaller, larger), hn::IfThenElse(negative, larger, smaller)};
}

struct Silu {
  static HWY_INLINE Gate of(Floats x) { return sigmoid(x, exp_of_negative(hn::Neg(hn::Abs(x)))); }
};

/// sigmoid(u) of gelu.h, and (1 - sigmoid(u))·du/dx.
struct GeluTanh {
  static HWY_INLINE Gate of(Floats gate) {
    const Floats linear = all(gelu_linear), cubic = all(gelu_cubic);
    const Floats x = hn::Clamp(gate, all(-gelu_saturates), all(gelu_saturates));
    const Floats square = hn::Mul(x, x), square_rest = hn::MulSub(x, x, square);
    // linear + cubic·x² and what rounding it lost (Knuth's sum of two, one of them a product).
    const Floats factor = hn::MulAdd(cubic, square, linear), product = hn::Sub(factor, linear);
    Floats lost = hn::Add(hn::MulSub(cubic, square, product), hn::Sub(linear, hn::Sub(factor, product)));
    lost =
        hn::Add(lost, hn::MulAdd(cubic, square_rest, hn::MulAdd(all(gelu_cubic_rest), square, all(gelu_linear_rest))));
    const Floats u = hn::Mul(x, factor), u_rest = hn::MulAdd(x, lost, hn::MulSub(x, factor, u));
    // e^-|u + u_rest| = e^-|u| (1 ∓ u_rest)
    const Floats e = exp_of_negative(hn::Neg(hn::Abs(u)));
    const Floats signed_rest = hn::Xor(u_rest, hn::And(u, hn::SignBit(FloatTag())));  // u_rest times the sign of u
    const Gate s = sigmoid(u, hn::NegMulAdd(e, signed_rest, e));
    return {s.value, hn::Mul(s.rest, hn::MulAdd(all(3 * gelu_cubic), square, linear))};
  }
};

/// f(Silu()) or f(GeluTanh()).
template <typename F>
HWY_INLINE void with_activation(Activation activation, const F& f) {
  if (activation == Activation::silu)
    f(Silu());
  else
    f(GeluTanh());
}

}  // namespace

void gated_forward_rows(Activation activation, ConstView gate_up, View y_view, int64_t begin, int64_t end) {
  const int64_t F = y_view.cols;
  with_activation(activation, [&](auto function) {
    with_compute_type(gate_up.dtype, [&](auto type) {
      using T = decltype(type);
      for (int64_t t = begin; t < end; ++t) {
        const T* gate = gate_up.as<T>() + t * gate_up.row_stride;
        T* y = y_view.as<T>() + t * y_view.row_stride;
        for_each_vector(F, [&](int64_t i, auto span) {
          const Floats g = load(gate + i, span);
          store_result(hn::Mul(hn::Mul(g, function.of(g).value), load(gate + F + i, span)), y + i, span);
        });
      }
    });
  });
}

/// With s the gate's: y = gate·s.value·up, dup = dy·gate·s.value, dgate = dy·up·s.value (1 + gate·s.rest).
void gated_backward_rows(Activation activation, ConstView gate_up, ConstView dy_view, View dgate_up, View y_view,
                         int64_t begin, int64_t end) {
  const int64_t F = dy_view.cols;
  with_activation(activation, [&](auto function) {
    with_compute_type(gate_up.dtype, [&](auto type) {
      using T = decltype(type);
      for (int64_t t = begin; t < end; ++t) {
        const T* gate = gate_up.as<T>() + t * gate_up.row_stride;
        const T* dy = dy_view.as<T>() + t * dy_view.row_stride;
        T* dgate = dgate_up.as<T>() + t * dgate_up.row_stride;
        T* y = y_view.as<T>() + t * y_view.row_stride;
        for_each_vector(F, [&](int64_t i, auto span) {
          const Floats g = load(gate + i, span), up = load(gate + F + i, span), dyi = load(dy + i, span);
          const Gate s = function.of(g);
          const Floats gs = hn::Mul(g, s.value);
          store_result(hn::Mul(gs, up), y + i, span);
          store_result(hn::Mul(dyi, gs), dgate + F + i, span);
          const Floats dys = hn::Mul(dyi, s.value);
          store_result(hn::Mul(hn::Mul(dys, up), hn::MulAdd(g, s.rest, all(1))), dgate + i, span);
        });
      }
    });
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(gated_forward_rows);
HWY_EXPORT(gated_backward_rows);

namespace {

class CpuActivationKernels final : public ActivationKernels {
 public:
  explicit CpuActivationKernels(int threads) : threads_(threads) {}

 private:
  void enqueue_gated_forward(Stream& stream, Activation activation, ConstView gate_up, View y) override {
    stream.enqueue([=, threads = threads_] {
      parallel_for(threads, y.rows, 8, [&](int64_t begin, int64_t end) {
        HWY_DYNAMIC_DISPATCH(gated_forward_rows)(activation, gate_up, y, begin, end);
      });
    });
  }
  void enqueue_gated_backward(Stream& stream, Activation activation, ConstView gate_up, ConstView dy, View dgate_up,
                              View y) override {
    stream.enqueue([=, threads = threads_] {
      parallel_for(threads, dy.rows, 8, [&](int64_t begin, int64_t end) {
        HWY_DYNAMIC_DISPATCH(gated_backward_rows)(activation, gate_up, dy, dgate_up, y, begin, end);
      });
    });
  }

  const int threads_;
};

}  // namespace

std::unique_ptr<ActivationKernels> make_cpu_activation(int threads) {
  return std::make_unique<CpuActivationKernels>(threads);
}

}  // namespace tessera
#endif
