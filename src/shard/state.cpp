#include "shard/state.h"

namespace tessera {

ShardState::ShardState(Device& device, const ShardLayout& layout, DType compute, Offload offload)
    : state_place(offload == Offload::none ? Memory::device : Memory::host),
      weights_place(offload == Offload::params ? Memory::host : Memory::device),
      size(layout.size()) {
  const auto buffer = [&](DType dtype, const char* what, Memory place) {
    Buffer made(device, dtype, 1, size, what, place);
    made.set_zero();
    return made;
  };
  master = buffer(DType::f32, "master weights", state_place);
  exp_avg = buffer(DType::f32, "AdamW's first moment", state_place);
  exp_avg_sq = buffer(DType::f32, "AdamW's second moment", state_place);
  gradient = buffer(DType::f32, "gradient shard", state_place);
  if (compute != DType::f32 || state_place != weights_place)
    compute_weights = buffer(compute, "weight shard", weights_place);
}

View ShardState::weights() const { return compute_weights.data() != nullptr ? compute_weights.view() : master.view(); }

}  // namespace tessera
