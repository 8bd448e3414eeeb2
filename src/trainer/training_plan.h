#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "job/job.h"

/// The trainer room: the plan of steps, the step itself, evaluation, and reporting.
namespace tessera {

using Sequence = std::vector<int32_t>;  ///< the samples of one row of a batch

/// Which sequences every update takes: a function of the data, the job and the number of sequences an update, so that a
/// resumed run finds its place from the step alone.
class TrainingPlan {
 public:
  /// lengths: tokens of each training sample.  world: ranks.  Takes as long as one epoch's packing, whatever the number
  /// of epochs: all have the same number of sequences (data/order.h).  Throws JobError if an update would have too many
  /// sequences.
  TrainingPlan(const std::vector<int32_t>& lengths, const Job& job, int world);

  int64_t total_steps() const { return total_steps_; }
  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  int64_t sequences_per_update() const { return per_update_; }

  struct Update {
    int64_t epoch = 0;
    double epochs_done = 0;               ///< after this update, with the part of the current one
    std::span<const Sequence> sequences;  ///< of all ranks; valid until the next call
  };
  /// Update k, from 1.  Cheap inside one epoch; a new epoch is shuffled and packed again.
  Update update(int64_t k);

 private:
  const std::vector<Sequence>& sequences_of(int64_t epoch);

  std::vector<int32_t> lengths_;
  DataSettings data_;
  int64_t seed_;
  int64_t cached_epoch_ = -1;
  std::vector<Sequence> cached_;
  int64_t per_update_;
  int64_t steps_per_epoch_;
  int64_t total_steps_ = 0;
};

/// Does any update of the plan take a sample with a token that carries loss?  supervised: such tokens of each sample.
bool has_supervision(TrainingPlan& plan, const std::vector<int32_t>& supervised);

/// How `count` sequences are distributed: micro-batch m of rank r gets [begin, end).  In the last micro-batch ranks may
/// get fewer than micro_batch_size, or none.
struct MicroBatches {
  int64_t count;  ///< sequences
  int64_t micro_batch_size;
  int world;

  int64_t micro_batches() const;
  struct Range {
    int64_t begin, end;
  };
  Range range(int64_t micro_batch, int rank) const;
};

}  // namespace tessera
