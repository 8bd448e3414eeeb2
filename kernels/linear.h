#pragma once
#include "kernels/subject.h"

namespace tessera {

/// Matrix products with fp32 accumulation; weights as Hugging Face stores them: w [O, I], y = x wᵀ + b.
class LinearKernels : public KernelSubject {
 public:
  /// y [T, O] = x [T, I] · wᵀ + bias + added.  x, w: compute type; bias [1, O] compute type or empty;
  /// y: compute type, or fp32 (logits); added [T, O]: of y's type, may be y, or empty.
  void forward(Stream& stream, ConstView x, ConstView w, ConstView bias, ConstView added, View y) {
    timed(stream, Phase::gemm, "linear_forward", [&] { enqueue_linear_forward(stream, x, w, bias, added, y); });
  }
  /// dx [T, I] = (or +=) dy [T, O] · w.  All of the compute type.
  void backward_input(Stream& stream, ConstView dy, ConstView w, View dx, Write mode) {
    timed(stream, Phase::gemm, "linear_backward_input",
          [&] { enqueue_linear_backward_input(stream, dy, w, dx, mode); });
  }
  /// dw [O, I] = (or +=) dyᵀ · x; 0 where T is.  dy [T, O], x [T, I]: compute type; dw: fp32.
  void backward_weight(Stream& stream, ConstView dy, ConstView x, View dw, Write mode) {
    timed(stream, Phase::gemm, "linear_backward_weight",
          [&] { enqueue_linear_backward_weight(stream, dy, x, dw, mode); });
  }
  /// db [1, O] += column sums of dy [T, O].  db: fp32.
  void bias_backward(Stream& stream, ConstView dy, View db) {
    timed(stream, Phase::elementwise, "bias_backward", [&] { enqueue_bias_backward(stream, dy, db); });
  }

 private:
  virtual void enqueue_linear_forward(Stream&, ConstView x, ConstView w, ConstView bias, ConstView added, View y) = 0;
  virtual void enqueue_linear_backward_input(Stream&, ConstView dy, ConstView w, View dx, Write mode) = 0;
  virtual void enqueue_linear_backward_weight(Stream&, ConstView dy, ConstView x, View dw, Write mode) = 0;
  virtual void enqueue_bias_backward(Stream&, ConstView dy, View db) = 0;
};

}  // namespace tessera
