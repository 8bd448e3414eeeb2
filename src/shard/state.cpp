#include "shard/state.h"

#include <stdexcept>

#include "base/number.h"

namespace tessera {

ShardState::ShardState(Device& device, const ShardLayout& layout, int64_t frozen_bytes, DType compute, Offload offload,
                       const std::vector<OptimizerState>& states)
    : state_place(offload == Offload::none ? Memory::device : Memory::host),
      weights_place(offload == Offload::params ? Memory::host : Memory::device),
      size(layout.size()) {
  const auto buffer = [&](DType dtype, const char* what, Memory place, int64_t elements) {
    Buffer made(device, dtype, 1, elements, what, place);
    made.set_zero();
    return made;
  };
  const auto of_optimizer = [&](DType dtype, int64_t elements) {
    return buffer(dtype, "optimizer state", state_place, elements);
  };
  master = buffer(DType::f32, "master weights", state_place, size);
  for (const OptimizerState& state : states) {
    optimizer.push_back({state, of_optimizer(state.type, layout.unblocked_size()), {}, {}});
    if (layout.blocks().elements == 1) continue;
    optimizer.back().codes = of_optimizer(DType::u8, size);
    optimizer.back().absmax = of_optimizer(DType::f32, div_exact(size, layout.blocks().elements));
  }
  gradient = buffer(DType::f32, "gradient shard", state_place, size);
  if (compute != DType::f32 || state_place != weights_place)
    compute_weights = buffer(compute, "weight shard", weights_place, size);
  frozen = Buffer(device, frozen_bytes, "frozen weights", weights_place);
  frozen.set_zero();
}

TensorBlocks blocks_of(const std::vector<OptimizerState>& states) {
  return states.empty() ? TensorBlocks{} : states.front().blocks;
}

const ShardState::OfOptimizer& ShardState::of_optimizer(const std::string& name) const {
  for (const OfOptimizer& state : optimizer)
    if (state.what.name == name) return state;
  throw std::logic_error("the shard has no optimizer state " + name);
}

View ShardState::weights() const { return compute_weights.data() != nullptr ? compute_weights.view() : master.view(); }

}  // namespace tessera
