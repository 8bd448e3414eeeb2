#include "optim/gradient_norm.h"

#include <algorithm>

namespace tessera {

double clip_factor(double grad_norm, double max_grad_norm) {
  return max_grad_norm > 0 ? std::min(1.0, max_grad_norm / (grad_norm + 1e-6)) : 1.0;
}

GradientNorm::GradientNorm(ShardedModel& model)
    : model_(model), squared_(model.compute().device(), "gradient norm", model.state().state_place) {}

void GradientNorm::measure() {
  model_.work_on_state([this](Kernels& kernels, Stream& stream) {
    const ShardState& state = model_.state();
    kernels.memory.fill_zero(stream, squared_.for_kernels(), sizeof(double));
    kernels.optimizer.squared_norm(stream, state.gradient.as<float>(), state.size, squared_.for_kernels());
    squared_.fetch(stream);
  });
}

}  // namespace tessera
