#include "shard/state.h"

#include <stdexcept>

namespace tessera {

ShardState::ShardState(Device& device, const ShardLayout& layout, DType compute, Offload offload,
                       const std::vector<OptimizerState>& states)
    : state_place(offload == Offload::none ? Memory::device : Memory::host),
      weights_place(offload == Offload::params ? Memory::host : Memory::device),
      size(layout.size()) {
  const auto buffer = [&](DType dtype, const char* what, Memory place) {
    Buffer made(device, dtype, 1, size, what, place);
    made.set_zero();
    return made;
  };
  master = buffer(DType::f32, "master weights", state_place);
  for (const OptimizerState& state : states)
    optimizer.push_back({state, buffer(state.type, "optimizer state", state_place)});
  gradient = buffer(DType::f32, "gradient shard", state_place);
  if (compute != DType::f32 || state_place != weights_place)
    compute_weights = buffer(compute, "weight shard", weights_place);
}

const Buffer& ShardState::of_optimizer(const std::string& name) const {
  for (const OfOptimizer& state : optimizer)
    if (state.what.name == name) return state.values;
  throw std::logic_error("the shard has no optimizer state " + name);
}

View ShardState::weights() const { return compute_weights.data() != nullptr ? compute_weights.view() : master.view(); }

}  // namespace tessera
