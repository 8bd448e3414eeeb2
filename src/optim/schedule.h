#pragma once
#include <cstdint>

#include "job/job.h"

namespace tessera {

/// The learning rate of update k (from 1) of `total_steps`: learning_rate · f(k-1), f as transformers.get_scheduler's.
/// A function of k alone, so that a resumed run has nothing to restore.
double learning_rate_at(const TrainSettings& settings, int64_t k, int64_t total_steps);

/// warmup_steps, or warmup_ratio of all steps rounded up.
int64_t warmup_steps(const TrainSettings& settings, int64_t total_steps);

}  // namespace tessera
