#pragma once
#include "kernels/subject.h"

namespace tessera {

/// The function of the gate: x·sigmoid(x), or x·Φ(x) with the tanh that torch's gelu(approximate="tanh") has for Φ
/// (Hendrycks & Gimpel 2016).
enum class Activation { silu, gelu_tanh };

/// What stands between the matrices of a feed-forward part.
class ActivationKernels : public KernelSubject {
 public:
  /// y[t,f] = activation(gate_up[t,f]) * gate_up[t,F+f].  gate_up [T, 2F], y [T, F]: compute type.  Shazeer 2020.
  void gated_forward(Stream& stream, Activation activation, ConstView gate_up, View y) {
    timed(stream, Phase::elementwise, "gated_forward", [&] { enqueue_gated_forward(stream, activation, gate_up, y); });
  }
  /// d(gate_up) [T, 2F] from dy [T, F], and y once more, bit for bit, which costs little there: a backward
  /// pass that reads it need not keep it.  dgate_up may be gate_up, y may be dy.
  void gated_backward(Stream& stream, Activation activation, ConstView gate_up, ConstView dy, View dgate_up, View y) {
    timed(stream, Phase::elementwise, "gated_backward",
          [&] { enqueue_gated_backward(stream, activation, gate_up, dy, dgate_up, y); });
  }

 private:
  virtual void enqueue_gated_forward(Stream&, Activation activation, ConstView gate_up, View y) = 0;
  virtual void enqueue_gated_backward(Stream&, Activation activation, ConstView gate_up, ConstView dy, View dgate_up,
                                      View y) = 0;
};

}  // namespace tessera
