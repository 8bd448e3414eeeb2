#pragma once
#include "kernels/subject.h"

namespace tessera {

/// What stands between the matrices of a feed-forward part.
class ActivationKernels : public KernelSubject {
 public:
  /// y[t,f] = silu(gate_up[t,f]) * gate_up[t,F+f].  gate_up [T, 2F], y [T, F]: compute type.  Shazeer 2020.
  void swiglu_forward(Stream& stream, ConstView gate_up, View y) {
    timed(stream, Phase::elementwise, "swiglu_forward", [&] { enqueue_swiglu_forward(stream, gate_up, y); });
  }
  /// d(gate_up) [T, 2F] from dy [T, F], and y once more, bit for bit, which costs little there: who needs it in the
  /// backward pass need not have kept it.  dgate_up may be gate_up, y may be dy.
  void swiglu_backward(Stream& stream, ConstView gate_up, ConstView dy, View dgate_up, View y) {
    timed(stream, Phase::elementwise, "swiglu_backward",
          [&] { enqueue_swiglu_backward(stream, gate_up, dy, dgate_up, y); });
  }

 private:
  virtual void enqueue_swiglu_forward(Stream&, ConstView gate_up, View y) = 0;
  virtual void enqueue_swiglu_backward(Stream&, ConstView gate_up, ConstView dy, View dgate_up, View y) = 0;
};

}  // namespace tessera
