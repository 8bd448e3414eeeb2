#include "shard/state.h"

namespace tessera {

ShardState::ShardState(Device& device, const ShardLayout& layout, DType compute)
    : master(device, DType::f32, 1, layout.size(), "master weights"),
      exp_avg(device, DType::f32, 1, layout.size(), "AdamW's first moment"),
      exp_avg_sq(device, DType::f32, 1, layout.size(), "AdamW's second moment"),
      gradient(device, DType::f32, 1, layout.size(), "gradient shard"),
      compute_weights(device, compute, 1, compute == DType::f32 ? 0 : layout.size(), "weight shard"),
      size(layout.size()) {
  for (const Buffer* buffer : {&master, &exp_avg, &exp_avg_sq, &gradient})
    device.set_zero(buffer->data(), buffer->bytes());
}

View ShardState::weights() const { return compute_weights.data() != nullptr ? compute_weights.view() : master.view(); }

}  // namespace tessera
