#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "job/job.h"
#include "report/metrics.h"
#include "shard/sharded_model.h"

namespace tessera {

/// The state of a rank's writer thread, as sent in the step's report.
struct SaveReport {
  int64_t status = 0;  ///< a CheckpointWriter::Status
  int64_t bytes = 0;
  uint64_t xxh3 = 0;
  int64_t metadata_bytes = 0;
  uint64_t metadata_xxh3 = 0;
  double save_seconds = 0, pause_seconds = 0;
};

/// The life of a checkpoint, on every rank: begin → (report in each step's message) → all written → rank 0 commits.  No
/// collective of its own.  Ranks that only replicate another's slices write nothing.
class Saving {
 public:
  Saving(ShardedModel& model, const Job& job, int rank);

  void begin(const CheckpointInfo& info);
  bool running() const { return running_; }
  int64_t step() const { return info_.step; }
  /// Blocks until this rank's own shard is written.
  void wait() { writer_.wait(); }

  SaveReport report() const;
  /// Takes every rank's report: commits once all have written, and returns the outcome. Throws DataError if a rank
  /// failed.
  std::optional<SaveMetrics> collect(const std::vector<SaveReport>& reports);

 private:
  ShardedModel& model_;
  const Job& job_;
  int rank_;  // in the world
  bool writes_;
  bool running_ = false;
  CheckpointInfo info_;
  CheckpointWriter writer_;
};

}  // namespace tessera
