#pragma once
#include <cstdint>

#include "job/job.h"
#include "model/spec.h"

namespace tessera {

/// Ranks of a job that need not run: all hosts have as many.
struct Placement {
  int ranks = 1, ranks_per_host = 1;
};

/// Bytes that a rank sends in an update, as collectives of host memory send them; it receives as many.
struct Traffic {
  int64_t inside_host = 0, between_hosts = 0;
};

/// Counted: an update of `micro_batches` batches of max_tokens goes through a model on a device and over communicators
/// that only count.  Throws JobError where the strategy's groups do not fit the ranks.
Traffic count_traffic(const Placement& placement, const ModelSpec& spec, const ShardSettings& shard,
                      const ModelSettings& model, int64_t max_tokens, int64_t micro_batches);

/// Ranks of a shard group.
int shard_group_size(const Placement& placement, const ShardSettings& shard);

}  // namespace tessera
