#pragma once
#include "kernels/subject.h"

namespace tessera {

/// The residual stream of a model that scales what is added to it (Granite's residual_multiplier).
class ResidualKernels : public KernelSubject {
 public:
  /// y[t,:] = factor · x[t,:] + added[t,:], rounded once.  x, y [T, C]: compute type; added [T, C]: likewise, or empty.
  /// y may be x, and may be `added`.
  void scale(Stream& stream, ConstView x, float factor, ConstView added, View y) {
    timed(stream, Phase::elementwise, "scale", [&] { enqueue_scale(stream, x, factor, added, y); });
  }

 private:
  virtual void enqueue_scale(Stream&, ConstView x, float factor, ConstView added, View y) = 0;
};

}  // namespace tessera
