#pragma once
#include "cluster/cluster.h"
#include "job/job.h"

namespace tessera {

/// The verb generate: continues the prompts of [generate] with the latest checkpoint of output_dir (or
/// checkpoint.resume), or with model.base if there is none. Several ranks share the prompts; rank 0 prints.
void generate(const Job& job, Cluster& cluster);

}  // namespace tessera
