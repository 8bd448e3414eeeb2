#include "trainer/training_plan.h"

#include <algorithm>
#include <cmath>

#include "base/amount.h"
#include "base/error.h"
#include "base/number.h"
#include "data/order.h"

namespace tessera {
namespace {

/// Sequences of an update, on all ranks.
int64_t sequences_an_update(const TrainSettings& train, int world) {
  if (train.global_batch_size > 0) return train.global_batch_size;
  constexpr int64_t most = 1'000'000'000;  // as global_batch_size may have
  const Amount sequences = Amount(train.micro_batch_size) * train.gradient_accumulation_steps * int64_t{world};
  if (sequences > most)
    throw JobError(
        "[train] micro_batch_size = {} times gradient_accumulation_steps = {} times {} rank{} exceeds {} sequences per "
        "update; lower one of the two",
        train.micro_batch_size, train.gradient_accumulation_steps, world, world == 1 ? "" : "s", most);
  return sequences.value();
}

}  // namespace

TrainingPlan::TrainingPlan(const std::vector<int32_t>& lengths, const Job& job, int world)
    : lengths_(lengths),
      data_(job.data),
      seed_(job.job.seed),
      per_update_(sequences_an_update(job.train, world)),
      steps_per_epoch_(ceil_div(static_cast<int64_t>(sequences_of(0).size()), per_update_)) {
  const TrainSettings& train = job.train;
  const double whole_epochs = std::floor(train.num_epochs), rest = train.num_epochs - whole_epochs;
  total_steps_ = train.max_steps > 0
                     ? train.max_steps
                     : static_cast<int64_t>(whole_epochs) * steps_per_epoch_ +
                           static_cast<int64_t>(std::ceil(rest * static_cast<double>(steps_per_epoch_)));
}

const std::vector<Sequence>& TrainingPlan::sequences_of(int64_t epoch) {
  if (epoch != cached_epoch_) {
    cached_ = epoch_sequences(lengths_, data_, seed_, epoch);
    if (cached_.empty()) throw DataError("the training set is empty: there is nothing to train on");
    cached_epoch_ = epoch;
  }
  return cached_;
}

TrainingPlan::Update TrainingPlan::update(int64_t k) {
  const int64_t epoch = (k - 1) / steps_per_epoch_;
  const std::vector<Sequence>& sequences = sequences_of(epoch);
  const auto size = static_cast<int64_t>(sequences.size());
  const int64_t begin = (k - 1) % steps_per_epoch_ * per_update_;
  const int64_t end = std::min(begin + per_update_, size);
  Update update;
  update.epoch = epoch;
  update.epochs_done = static_cast<double>(epoch) + static_cast<double>(end) / static_cast<double>(size);
  update.sequences = std::span(sequences).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  return update;
}

bool has_supervision(TrainingPlan& plan, const std::vector<int32_t>& supervised) {
  const int64_t last = std::min(plan.total_steps(), plan.steps_per_epoch());  // an epoch has every sample
  for (int64_t k = 1; k <= last; ++k)
    for (const Sequence& sequence : plan.update(k).sequences)
      for (const int32_t sample : sequence)
        if (supervised[static_cast<size_t>(sample)] > 0) return true;
  return false;
}

int64_t MicroBatches::micro_batches() const { return ceil_div(count, micro_batch_size * world); }

MicroBatches::Range MicroBatches::range(int64_t micro_batch, int rank) const {
  const int64_t first = micro_batch * micro_batch_size * world;
  const int64_t n = std::min(micro_batch_size * world, count - first);
  return {first + n * rank / world, first + n * (rank + 1) / world};
}

}  // namespace tessera
