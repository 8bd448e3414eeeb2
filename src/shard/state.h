#pragma once
#include <functional>

#include "device/buffer.h"
#include "job/job.h"
#include "kernels/kernels.h"
#include "shard/layout.h"

namespace tessera {

/// What a rank holds between steps: its slices of every unit, flat, in the order of the layout.  16 bytes a weight, and
/// 2 more in bf16, over the ranks of the shard group; shard.offload says what of it lies in host memory.
struct ShardState {
  ShardState(Device& device, const ShardLayout& layout, DType compute, Offload offload);

  /// The slice in compute precision that all-gathers send; in fp32 the master itself where both lie in one place.
  View weights() const;

  Memory state_place;                            ///< of the four fp32 buffers
  Memory weights_place;                          ///< of weights()
  Buffer master, exp_avg, exp_avg_sq, gradient;  ///< fp32
  Buffer compute_weights;                        ///< bf16, or a copy on the device of a master that is not there
  int64_t size;
};

/// Enqueues on `stream` what makes the compute weights of the shard's elements [begin, end), with kernels of the place
/// where the state lies.  `weights` [1, end - begin] is where they belong; in fp32 it may be the master.
using MakeWeights = std::function<void(Kernels& kernels, Stream& stream, int64_t begin, int64_t end, View weights)>;

}  // namespace tessera
