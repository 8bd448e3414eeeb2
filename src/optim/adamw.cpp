#include "optim/adamw.h"

#include <algorithm>
#include <cmath>

namespace tessera {

double clip_factor(double grad_norm, double max_grad_norm) {
  return max_grad_norm > 0 ? std::min(1.0, max_grad_norm / (grad_norm + 1e-6)) : 1.0;
}

AdamW::AdamW(ShardedModel& model, Kernels& kernels, const TrainSettings& settings)
    : model_(model), kernels_(kernels), settings_(settings), squared_norm_(model.compute().device(), "gradient norm") {}

void AdamW::measure_gradient() {
  const ShardState& state = model_.state();
  kernels_.fill_zero(model_.compute(), squared_norm_.on_device(), sizeof(double));
  kernels_.squared_norm(model_.compute(), state.gradient.as<float>(), state.size, squared_norm_.on_device());
  squared_norm_.fetch(model_.compute());
}

void AdamW::update(int64_t k, double learning_rate, double gradient_scale) {
  const ShardState& state = model_.state();
  AdamWStep step{};
  step.learning_rate = static_cast<float>(learning_rate);
  step.beta1 = settings_.adam_beta1;
  step.beta2 = settings_.adam_beta2;
  step.epsilon = static_cast<float>(settings_.adam_epsilon);
  step.bias_correction1 = static_cast<float>(1 - std::pow(settings_.adam_beta1, k));
  step.bias_correction2 = static_cast<float>(1 - std::pow(settings_.adam_beta2, k));
  step.gradient_scale = static_cast<float>(gradient_scale);
  model_.profiler().begin(model_.compute(), Phase::optimizer);
  for (const auto& range : model_.layout().decay_ranges()) {
    step.weight_decay = range.decay ? static_cast<float>(settings_.weight_decay) : 0.0f;
    const int64_t n = range.end - range.begin;
    kernels_.adamw(model_.compute(), step, n, state.master.as<float>() + range.begin,
                   state.exp_avg.as<float>() + range.begin, state.exp_avg_sq.as<float>() + range.begin,
                   state.gradient.as<float>() + range.begin, state.weights().cols_from(range.begin, n));
  }
  model_.profiler().end(model_.compute(), Phase::optimizer);
  model_.weights_changed();
}

}  // namespace tessera
