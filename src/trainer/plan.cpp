#include "trainer/plan.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/number.h"
#include "data/order.h"

namespace tessera {

TrainingPlan::TrainingPlan(const std::vector<int32_t>& lengths, const Job& job, int world)
    : lengths_(lengths), data_(job.data), seed_(job.job.seed) {
  const TrainSettings& train = job.train;
  per_update_ = train.global_batch_size > 0 ? train.global_batch_size
                                            : train.micro_batch_size * train.gradient_accumulation_steps * world;
  const bool by_steps = train.max_steps > 0;
  for (int64_t epoch = 0; by_steps ? total_steps_ < train.max_steps : static_cast<double>(epoch) < train.num_epochs;
       ++epoch) {
    int64_t steps = steps_of(epoch);
    if (by_steps) {
      steps = std::min(steps, train.max_steps - total_steps_);
    } else {
      const double share = std::min(1.0, train.num_epochs - static_cast<double>(epoch));
      steps = static_cast<int64_t>(std::ceil(share * static_cast<double>(steps)));
    }
    epochs_.push_back({total_steps_ + 1, steps});
    total_steps_ += steps;
  }
}

const std::vector<Sequence>& TrainingPlan::sequences_of(int64_t epoch) {
  if (epoch != cached_epoch_) {
    cached_ = epoch_sequences(lengths_, data_, seed_, epoch);
    if (cached_.empty()) throw DataError("the training set is empty: there is nothing to train on");
    cached_epoch_ = epoch;
  }
  return cached_;
}

int64_t TrainingPlan::steps_of(int64_t epoch) {
  return ceil_div(static_cast<int64_t>(sequences_of(epoch).size()), per_update_);
}

TrainingPlan::Update TrainingPlan::update(int64_t k) {
  const auto next = std::upper_bound(epochs_.begin(), epochs_.end(), k,
                                     [](int64_t step, const Epoch& epoch) { return step < epoch.first_step; });
  const auto epoch = static_cast<int64_t>(next - epochs_.begin()) - 1;
  const std::vector<Sequence>& sequences = sequences_of(epoch);
  const auto size = static_cast<int64_t>(sequences.size());
  const int64_t begin = (k - epochs_[static_cast<size_t>(epoch)].first_step) * per_update_;
  const int64_t end = std::min(begin + per_update_, size);
  Update update;
  update.epoch = epoch;
  update.epochs_done = static_cast<double>(epoch) + static_cast<double>(end) / static_cast<double>(size);
  update.sequences = std::span(sequences).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  return update;
}

int64_t MicroBatches::micro_batches() const { return ceil_div(count, micro_batch_size * world); }

MicroBatches::Range MicroBatches::range(int64_t micro_batch, int rank) const {
  const int64_t first = micro_batch * micro_batch_size * world;
  const int64_t n = std::min(micro_batch_size * world, count - first);
  return {first + n * rank / world, first + n * (rank + 1) / world};
}

}  // namespace tessera
