#pragma once
#include <cstdint>
#include <string>

#include "job/job.h"
#include "model/config.h"

namespace tessera {

/// What a rank allocates for a job, in bytes, by the formulas of docs/sharding.md#memory: of its device's memory, but
/// for what shard.offload keeps in the host's.
struct MemoryPlan {
  int64_t shards = 0;          ///< master weights, moments, gradient, and the slice in compute precision
  int64_t gathered = 0;        ///< whole units that are in use or on their way
  int64_t unit_gradients = 0;  ///< whole units' gradients
  int64_t activations = 0;     ///< of the largest micro-batch, with the gradients inside one layer
  int64_t head = 0;            ///< final norm and the logits of one chunk
  int64_t host = 0;            ///< in host memory (page-locked for a GPU); no part of total()

  int64_t total() const { return shards + gathered + unit_gradients + activations + head; }
  std::string describe() const;  ///< one line
};

/// ranks: of a shard group.  max_tokens: of a micro-batch on one rank.
MemoryPlan plan_memory(const ModelConfig& config, const ShardSettings& shard, const ModelSettings& model, int ranks,
                       int64_t max_tokens);

}  // namespace tessera
