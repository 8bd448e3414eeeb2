#include "optim/adamw.h"

#include <algorithm>
#include <cmath>

#include "base/number.h"

namespace tessera {

AdamW::AdamW(ShardedModel& model, const TrainSettings& settings)
    : model_(model),
      settings_(settings),
      exp_avg_(model.state().of_optimizer("exp_avg")),
      exp_avg_sq_(model.state().of_optimizer("exp_avg_sq")) {}

std::vector<OptimizerState> AdamW::states_in_8_bits() {
  const TensorBlocks blocks{state_block, 4096};
  return {{"exp_avg", DType::f32, blocks}, {"exp_avg_sq", DType::f32, blocks}};
}

AdamWStep AdamW::step(int64_t k, double gradient_scale) const {
  AdamWStep step{};
  step.beta1 = settings_.adam_beta1;
  step.beta2 = settings_.adam_beta2;
  step.epsilon = static_cast<float>(settings_.adam_epsilon);
  step.bias_correction1 = static_cast<float>(1 - std::pow(settings_.adam_beta1, k));
  step.bias_correction2 = static_cast<float>(1 - std::pow(settings_.adam_beta2, k));
  step.gradient_scale = static_cast<float>(gradient_scale);
  return step;
}

void AdamW::update(int64_t k, double learning_rate, double gradient_scale) {
  model_.profiler().begin(model_.state_stream(), Phase::optimizer);
  model_.make_weights([this, step = step(k, gradient_scale), learning_rate](Kernels& kernels, Stream& stream,
                                                                            int64_t begin, int64_t end, View weights) {
    update_range(kernels, stream, step, learning_rate, begin, end, weights);
  });
  model_.profiler().end(model_.state_stream(), Phase::optimizer);
}

void AdamW::update_range(Kernels& kernels, Stream& stream, AdamWStep step, double learning_rate, int64_t begin,
                         int64_t end, View weights) const {
  const ShardState& state = model_.state();
  for (const auto& range : model_.layout().update_ranges()) {
    const int64_t first = std::max(range.begin, begin), n = std::min(range.end, end) - first;
    if (n <= 0) continue;
    step.learning_rate = static_cast<float>(learning_rate * range.rate);
    step.weight_decay = range.decay ? static_cast<float>(settings_.weight_decay) : 0.0f;
    float* const master = state.master.as<float>() + first;
    const float* const gradient = state.gradient.as<float>() + first;
    const View made = weights.cols_from(first - begin, n);
    if (range.in_blocks) {
      const auto blocks_of = [&](const ShardState::OfOptimizer& moment) {
        return BlockState{moment.codes.as<uint8_t>() + first,
                          moment.absmax.as<float>() + div_exact(first, state_block)};
      };
      kernels.optimizer.adamw_8bit(stream, step, n, master, blocks_of(exp_avg_), blocks_of(exp_avg_sq_), gradient,
                                   made);
    } else {
      const int64_t at = range.unblocked_begin + first - range.begin;
      kernels.optimizer.adamw(stream, step, n, master, exp_avg_.values.as<float>() + at,
                              exp_avg_sq_.values.as<float>() + at, gradient, made);
    }
  }
}

}  // namespace tessera
