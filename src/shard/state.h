#pragma once
#include "device/buffer.h"
#include "shard/layout.h"

namespace tessera {

/// What a rank holds between steps: its slices of every unit, flat, in the order of the layout.  16 bytes a weight, and
/// 2 more in bf16, over the ranks of the shard group.
struct ShardState {
  ShardState(Device& device, const ShardLayout& layout, DType compute);

  /// The slice in compute precision that all-gathers send; in fp32 the master itself.
  View weights() const;

  Buffer master, exp_avg, exp_avg_sq, gradient;  ///< fp32
  Buffer compute_weights;                        ///< bf16; nothing in fp32
  int64_t size;
};

}  // namespace tessera
