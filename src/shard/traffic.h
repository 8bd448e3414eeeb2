#pragma once
#include <cstdint>

#include "cluster/counting_communicator.h"
#include "job/job.h"
#include "model/spec.h"
#include "shard/context.h"

namespace tessera {

/// Ranks of a job that need not run: all hosts have as many.
struct Placement {
  int ranks = 1, ranks_per_host = 1;
};

/// Bytes of weights and gradients that a rank sends in an update of `micro_batches`, whatever their tokens.  Counted:
/// an update goes through a model on a device and over communicators that only count.  Throws JobError where the
/// strategy's groups do not fit the ranks.
SentBytes count_traffic(const Placement& placement, Route route, const ModelSpec& spec,
                        const ShardedModelSettings& settings, int64_t micro_batches);

/// Ranks of a shard group.
int shard_group_size(const Placement& placement, const ShardSettings& shard);

}  // namespace tessera
