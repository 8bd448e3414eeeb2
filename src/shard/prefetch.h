#pragma once
#include <cstdint>

#include "job/job.h"

namespace tessera {

/// Units that are gathered ahead of the one that computes, at most; limit_all_gathers bounds what they take in memory.
int64_t furthest_look_ahead(const ShardSettings& settings, int64_t layers);

/// How many whole units a rank has room for.
struct GatherSlots {
  int64_t layers = 3;     ///< decoder layers in memory at once
  bool separate = false;  ///< embedding and head each have a slot, else they share one
};
GatherSlots gather_slots(const ShardSettings& settings, int64_t layers);

}  // namespace tessera
