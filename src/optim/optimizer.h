#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "job/job.h"
#include "shard/sharded_model.h"

/// The optim room: update rules over the flat shard, the gradient's norm, and learning-rate schedules.  A new rule is a
/// class and a row in the table of optimizer.cpp.
namespace tessera {

/// An update rule.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// Enqueues update k (from 1) with the gradients scaled by `gradient_scale`: master weights, the rule's own state,
  /// and the weights for compute.
  virtual void update(int64_t k, double learning_rate, double gradient_scale) = 0;
};

/// What train.optimizer keeps of each weight: the sharded model holds it (ShardState::optimizer), and checkpoints carry
/// it by name.
std::vector<OptimizerState> optimizer_states(const TrainSettings& settings);

/// train.optimizer for a model that was made with its states; the model outlives it.
std::unique_ptr<Optimizer> make_optimizer(ShardedModel& model, const TrainSettings& settings);

}  // namespace tessera
