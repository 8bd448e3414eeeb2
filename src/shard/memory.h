#pragma once
#include <cstdint>
#include <string>

#include "job/job.h"
#include "kernels/kernels.h"
#include "model/activations.h"
#include "model/spec.h"
#include "shard/context.h"

namespace tessera {

/// What a rank allocates for a job, in bytes: of its device's memory, but for what shard.offload keeps in the host's.
/// Counted, not computed: the sharded model is built on a device that only counts (CountingDevice).
struct MemoryPlan {
  int64_t shards = 0;          ///< master weights, optimizer state, gradient, and the slice in compute precision
  int64_t gathered = 0;        ///< whole units that are in use or on their way
  int64_t unit_gradients = 0;  ///< whole units' gradients
  int64_t activations = 0;     ///< of the largest micro-batch, with the gradients inside one layer
  int64_t head = 0;            ///< final norm and the logits of one chunk
  int64_t kernels = 0;         ///< all else: a GPU's batches, and by plan_device() its kernels' workspace
  int64_t host = 0;            ///< in host memory (page-locked for a GPU); no part of total()

  int64_t total() const;         ///< the largest int64 where that cannot hold it
  std::string describe() const;  ///< one line
};

/// Ranks that split what is trained, and what is frozen.
struct GroupSizes {
  int trained = 1, frozen = 1;

  GroupSizes(int both) : trained(both), frozen(both) {}  // NOLINT(google-explicit-constructor)
  GroupSizes(int trained, int frozen) : trained(trained), frozen(frozen) {}
};
MemoryPlan plan_memory(DeviceKind device, const ModelSpec& spec, const ShardedModelSettings& settings,
                       const GroupSizes& ranks);

/// What a model of these settings keeps of its passes.
ActivationSizes activation_sizes(const ModelSpec& spec, const ModelSettings& model, int64_t max_tokens);

/// What the kernels will be told of.  `ranks`: of a shard group.
LargestShapes largest_shapes(const ModelSpec& spec, const ShardedModelSettings& settings, int ranks);

/// Adds the workspace of this device's kernels; a CPU's have none to announce.
void plan_device(MemoryPlan& plan, Kernels& kernels, const LargestShapes& largest);

}  // namespace tessera
