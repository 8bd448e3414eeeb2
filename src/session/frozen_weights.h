#pragma once
#include "session/weights.h"

namespace tessera {

/// Fills this rank's part of the frozen weights; quantised tensors are quantised on their way, unless the source has
/// them so.  Each rank reads what it
/// keeps, and the ranks of the group tell each other the absmax of their blocks, one tensor at a time: host memory is
/// some MiB and one tensor's absmax.  Collective; what fails on one rank is thrown there, after all have gone through.
void load_frozen_weights(ShardedModel& model, const WeightSource& source);

}  // namespace tessera
