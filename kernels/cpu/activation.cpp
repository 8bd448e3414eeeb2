#include "device/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

// clang-format off: Highway reads this file once for each target, and its headers in this order
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/activation.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

/// sigmoid(x) and 1 - sigmoid(x), both to full relative precision: e^-|x| never overflows.
struct Sigmoid {
  Floats value, rest;
};
HWY_INLINE Sigmoid sigmoid(Floats x) {
  const Floats e = exp_of_negative(hn::Neg(hn::Abs(x)));
  const Floats larger = reciprocal(hn::Add(all(1), e));
  const Floats smaller = hn::Mul(e, larger);
  const auto negative = hn::Lt(x, all(0));
  return {hn::IfThenElse(negative, smaller, larger), hn::IfThenElse(negative, larger, smaller)};
}

}  // namespace

void swiglu_forward_rows(ConstView gate_up, View y_view, int64_t begin, int64_t end) {
  const int64_t F = y_view.cols;
  with_compute_type(gate_up.dtype, [&](auto type) {
    using T = decltype(type);
    for (int64_t t = begin; t < end; ++t) {
      const T* gate = gate_up.as<T>() + t * gate_up.row_stride;
      T* y = y_view.as<T>() + t * y_view.row_stride;
      for_each_vector(F, [&](int64_t i, auto span) {
        const Floats g = load(gate + i, span);
        store_result(hn::Mul(hn::Mul(g, sigmoid(g).value), load(gate + F + i, span)), y + i, span);
      });
    }
  });
}

/// With s = sigmoid(gate):  y = gate·s·up,  dup = dy·gate·s,  dgate = dy·up·s (1 + gate (1 - s)).
void swiglu_backward_rows(ConstView gate_up, ConstView dy_view, View dgate_up, View y_view, int64_t begin,
                          int64_t end) {
  const int64_t F = dy_view.cols;
  with_compute_type(gate_up.dtype, [&](auto type) {
    using T = decltype(type);
    for (int64_t t = begin; t < end; ++t) {
      const T* gate = gate_up.as<T>() + t * gate_up.row_stride;
      const T* dy = dy_view.as<T>() + t * dy_view.row_stride;
      T* dgate = dgate_up.as<T>() + t * dgate_up.row_stride;
      T* y = y_view.as<T>() + t * y_view.row_stride;
      for_each_vector(F, [&](int64_t i, auto span) {
        const Floats g = load(gate + i, span), up = load(gate + F + i, span), dyi = load(dy + i, span);
        const Sigmoid s = sigmoid(g);
        const Floats gs = hn::Mul(g, s.value);
        store_result(hn::Mul(gs, up), y + i, span);
        store_result(hn::Mul(dyi, gs), dgate + F + i, span);
        const Floats dys = hn::Mul(dyi, s.value);
        store_result(hn::Mul(hn::Mul(dys, up), hn::MulAdd(g, s.rest, all(1))), dgate + i, span);
      });
    }
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(swiglu_forward_rows);
HWY_EXPORT(swiglu_backward_rows);

namespace {

class CpuActivationKernels final : public ActivationKernels {
 public:
  explicit CpuActivationKernels(int threads) : threads_(threads) {}

 private:
  void enqueue_swiglu_forward(Stream& stream, ConstView gate_up, View y) override {
    stream.enqueue([=, threads = threads_] {
      parallel_for(threads, y.rows, 8, [&](int64_t begin, int64_t end) {
        HWY_DYNAMIC_DISPATCH(swiglu_forward_rows)(gate_up, y, begin, end);
      });
    });
  }
  void enqueue_swiglu_backward(Stream& stream, ConstView gate_up, ConstView dy, View dgate_up, View y) override {
    stream.enqueue([=, threads = threads_] {
      parallel_for(threads, dy.rows, 8, [&](int64_t begin, int64_t end) {
        HWY_DYNAMIC_DISPATCH(swiglu_backward_rows)(gate_up, dy, dgate_up, y, begin, end);
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
