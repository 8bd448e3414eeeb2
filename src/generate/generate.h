#pragma once
#include "cluster/cluster.h"
#include "job/job.h"

namespace tessera {

/// The verb generate: the prompts of [generate] go on, by the newest checkpoint of output_dir (or checkpoint.resume),
/// or by model.base where there is none.  With several ranks each takes some of the prompts; rank 0 prints.
void generate(const Job& job, Cluster& cluster);

}  // namespace tessera
