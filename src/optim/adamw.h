#pragma once
#include "optim/optimizer.h"

namespace tessera {

/// torch.optim.AdamW over the flat shard, fused with the cast to the compute weights; its moments in fp32, or in 8
/// bits.
class AdamW final : public Optimizer {
 public:
  static std::vector<OptimizerState> states() { return {{"exp_avg"}, {"exp_avg_sq"}}; }
  /// But for tensors that are so small that bitsandbytes keeps theirs in fp32.
  static std::vector<OptimizerState> states_in_8_bits();

  AdamW(ShardedModel& model, const TrainSettings& settings);
  void update(int64_t k, double learning_rate, double gradient_scale) override;

 private:
  /// But for what differs from range to range.
  AdamWStep step(int64_t k, double gradient_scale) const;
  /// Elements [begin, end) of the shard, which cut no block.
  void update_range(Kernels& kernels, Stream& stream, AdamWStep step, double learning_rate, int64_t begin, int64_t end,
                    View weights) const;

  ShardedModel& model_;
  TrainSettings settings_;
  const ShardState::OfOptimizer &exp_avg_, &exp_avg_sq_;
};

}  // namespace tessera
