#pragma once
#include "kernels/subject.h"

namespace tessera {

/// The loss over a chunk of tokens.
class LossKernels : public KernelSubject {
 public:
  /// *loss_sum += Σ_t cross-entropy(logits[t,:], targets[t]) over the targets >= 0 (in the order of t, in double).
  /// logits [t, V]: fp32.  With dlogits (compute type, [t, V]; each row may begin where that of logits does, and then
  /// overwrites it): dlogits = (softmax - onehot) * gradient_scale, rows of ignored targets 0.  An empty dlogits: loss
  /// only.
  void cross_entropy(Stream& stream, ConstView logits, const int32_t* targets, float gradient_scale, View dlogits,
                     double* loss_sum) {
    timed(stream, Phase::loss, "cross_entropy",
          [&] { enqueue_cross_entropy(stream, logits, targets, gradient_scale, dlogits, loss_sum); });
  }

 private:
  virtual void enqueue_cross_entropy(Stream&, ConstView logits, const int32_t* targets, float gradient_scale,
                                     View dlogits, double* loss_sum) = 0;
};

}  // namespace tessera
