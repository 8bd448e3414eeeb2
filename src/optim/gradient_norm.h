#pragma once
#include "shard/sharded_model.h"

namespace tessera {

/// torch.nn.utils.clip_grad_norm_'s factor; 1 where max_grad_norm is 0.
double clip_factor(double grad_norm, double max_grad_norm);

/// Σ g² over this rank's gradient shard.
class GradientNorm {
 public:
  /// `model` outlives it.
  explicit GradientNorm(ShardedModel& model);

  /// Enqueues the measurement; squared() is valid after the model's synchronize().
  void measure();
  double squared() const { return squared_.value(); }

 private:
  ShardedModel& model_;
  Readback<double> squared_;
};

}  // namespace tessera
