#pragma once
#include "kernels/subject.h"

namespace tessera {

/// What logits become before their softmax: z = scale · x, and with a soft cap softcap · tanh(z / softcap), which stays
/// within it (Gemma Team 2024, section 2).
struct LogitTransform {
  float scale = 1;    ///< above 0
  float softcap = 0;  ///< 0: none

  bool none() const { return scale == 1 && softcap == 0; }
};

/// The loss over a chunk of tokens.
class LossKernels : public KernelSubject {
 public:
  /// *loss_sum += Σ_t cross-entropy(z[t,:], targets[t]) over the targets >= 0 (in the order of t, in double), z being
  /// the transformed logits.  logits [t, V]: fp32.  With dlogits (compute type, [t, V]; each row may begin where that
  /// of logits does, and then overwrites it): dlogits = (softmax(z) - onehot) · dz/dlogits · gradient_scale, rows of
  /// ignored targets 0.  An empty dlogits: loss only.
  void cross_entropy(Stream& stream, ConstView logits, const int32_t* targets, const LogitTransform& transform,
                     float gradient_scale, View dlogits, double* loss_sum) {
    timed(stream, Phase::loss, "cross_entropy",
          [&] { enqueue_cross_entropy(stream, logits, targets, transform, gradient_scale, dlogits, loss_sum); });
  }
  /// logits = z, in place; fp32.  For sampling.
  void transform_logits(Stream& stream, const LogitTransform& transform, View logits) {
    if (transform.none()) return;
    timed(stream, Phase::loss, "transform_logits", [&] { enqueue_transform_logits(stream, transform, logits); });
  }

 private:
  virtual void enqueue_cross_entropy(Stream&, ConstView logits, const int32_t* targets, const LogitTransform& transform,
                                     float gradient_scale, View dlogits, double* loss_sum) = 0;
  virtual void enqueue_transform_logits(Stream&, const LogitTransform& transform, View logits) = 0;
};

}  // namespace tessera
