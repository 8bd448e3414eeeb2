#pragma once
#include <cstdint>
#include <vector>

#include "cluster/communicator.h"
#include "device/profiler.h"
#include "job/job.h"
#include "kernels/kernels.h"
#include "shard/state.h"

namespace tessera {

struct ShardGroups;

/// What a rank computes and communicates with.
struct RankParts {
  Device& device;
  Kernels& kernels;
  Profiler& profiler;
  ShardGroups& groups;
};

/// What is asked of a sharded model.
struct ShardedModelSettings {
  ShardSettings shard;
  ModelSettings model;
  std::vector<OptimizerState> optimizer;  ///< what it keeps of each weight
  int64_t max_tokens = 0;                 ///< of a micro-batch on one rank
  int64_t longest = 0;                    ///< tokens of a document, for the kernels' workspace; 0: max_tokens
  int64_t seed = 0;                       ///< of what is random in a step
  int64_t least_bucket = 0;               ///< elements that neighbouring layers are gathered and reduced together for
  int host_threads = 1;                   ///< of the CPU that updates what shard.offload keeps in host memory
};

/// What the parts of a sharded model share.  ShardedModel makes it once; it outlives them.
struct ShardContext {
  Device& device;
  Kernels& kernels;
  Profiler& profiler;
  Communicator& group;
  Communicator* replicas;  ///< the ranks that hold the same slices; null where there are none
  const ShardLayout& layout;
  const ShardState& state;
  DType reduced;  ///< of gradients and their sums: shard.reduce_dtype
  Stream& compute;
  Stream& communication;
  Stream* transfer;  ///< copies to and from a state in host memory; null where it lies on the device
};

}  // namespace tessera
