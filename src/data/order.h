#pragma once
#include <cstdint>
#include <vector>

#include "job/job.h"

namespace tessera {

/// The sequences of one epoch, in order: each a list of sample indices whose lengths sum to at most sequence_len (one
/// sample each without packing).  A function of lengths, settings, seed and epoch alone; never of the number of ranks.
/// Packing is first-fit-decreasing over the shuffled samples (Johnson 1973), then the bins are shuffled.  Every epoch
/// has the same number of sequences, since the packing depends on the lengths only, not on their order.
std::vector<std::vector<int32_t>> epoch_sequences(const std::vector<int32_t>& lengths, const DataSettings& settings,
                                                  int64_t seed, int64_t epoch);

}  // namespace tessera
