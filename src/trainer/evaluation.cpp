#include "trainer/evaluation.h"

#include <numeric>

#include "base/error.h"
#include "cluster/agree.h"
#include "data/order.h"
#include "session/job_choices.h"

namespace tessera {

Evaluation::Evaluation(Session& session) : session_(session), set_(session.prepared().path, "eval") {
  std::vector<int32_t> lengths = set_.lengths();
  const int64_t limit = session.job().eval.max_samples;
  if (limit > 0 && static_cast<int64_t>(lengths.size()) > limit) lengths.resize(static_cast<size_t>(limit));
  if (lengths.empty()) return;
  DataSettings settings = session.job().data;
  settings.shuffle = false;
  agree(session.world(), "planning the evaluation", [&] {
    sequences_ = epoch_sequences(lengths, settings, session.job().job.seed, 0);
    for (const Sequence& sequence : sequences_)
      for (const int32_t sample : sequence) tokens_ += set_.supervised()[static_cast<size_t>(sample)];
    if (tokens_ > 0) return;
    const auto& sets = session.job().eval_datasets;
    throw DataError("{}: no token of the {} evaluation sample{} carries loss, so there is nothing to evaluate",
                    sets.empty() ? "[data] val_set_size" : named(sets, "eval_dataset"), lengths.size(),
                    lengths.size() == 1 ? "" : "s");
  });
}

EvaluationResult Evaluation::run() {
  ShardedModel& model = session_.model();
  Communicator& world = session_.world();
  model.synchronize();
  model.reset_loss();
  const MicroBatches deal{static_cast<int64_t>(sequences_.size()), session_.job().train.micro_batch_size, world.size()};
  for (int64_t m = 0; m < deal.micro_batches(); ++m) {
    const auto [begin, end] = deal.range(m, world.rank());
    model.evaluate(
        make_batch(set_, std::span(sequences_).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin))));
  }
  model.synchronize();

  const double mine = model.loss_sum();
  std::vector<double> sums(static_cast<size_t>(world.size()));
  world.all_gather_host(&mine, sums.data(), sizeof mine, "all_gather(evaluation loss)");
  return {std::accumulate(sums.begin(), sums.end(), 0.0) / static_cast<double>(tokens_), tokens_};
}

}  // namespace tessera
