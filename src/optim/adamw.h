#pragma once
#include <cstdint>

#include "job/job.h"
#include "shard/sharded_model.h"

namespace tessera {

/// torch.nn.utils.clip_grad_norm_'s factor; 1 where max_grad_norm is 0.
double clip_factor(double grad_norm, double max_grad_norm);

/// torch.optim.AdamW over the flat shard, fused with the cast to the compute weights.
class AdamW {
 public:
  AdamW(ShardedModel& model, const TrainSettings& settings);

  /// Enqueues Σ g² over this rank's shard; squared_norm() is valid after the model's synchronize().
  void measure_gradient();
  double squared_norm() const { return squared_norm_.value(); }

  /// Enqueues update k (from 1) with the gradients scaled by `gradient_scale`.
  void update(int64_t k, double learning_rate, double gradient_scale);

 private:
  AdamWStep step(int64_t k, double learning_rate, double gradient_scale) const;
  /// Elements [begin, end) of the shard.
  void update_range(Kernels& kernels, Stream& stream, AdamWStep step, int64_t begin, int64_t end, View weights) const;

  ShardedModel& model_;
  TrainSettings settings_;
  Readback<double> squared_norm_;
};

}  // namespace tessera
