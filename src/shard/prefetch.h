#pragma once
#include <cstdint>

#include "job/job.h"
#include "shard/unit_pools.h"

namespace tessera {

/// Units that are gathered ahead of the one that computes, at most; limit_all_gathers bounds what they take in memory.
int64_t furthest_look_ahead(const ShardSettings& settings, int64_t layers);

/// Whole units that a rank has room for at once.
UnitsAtOnce gathered_at_once(const ShardSettings& settings, const std::vector<UnitSpec>& units);

}  // namespace tessera
