#include "trainer/evaluation.h"

#include <numeric>

#include "base/log.h"
#include "data/order.h"

namespace tessera {

Evaluation::Evaluation(Session& session) : session_(session), set_(session.prepared().path, "eval") {
  std::vector<int32_t> lengths = set_.lengths();
  const int64_t limit = session.job().eval.max_samples;
  if (limit > 0 && static_cast<int64_t>(lengths.size()) > limit) lengths.resize(static_cast<size_t>(limit));
  if (lengths.empty()) return;
  DataSettings settings = session.job().data;
  settings.shuffle = false;
  sequences_ = epoch_sequences(lengths, settings, session.job().job.seed, 0);
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
  EvaluationResult result;
  for (const Sequence& sequence : sequences_)
    for (const int32_t sample : sequence) result.tokens += set_.supervised()[static_cast<size_t>(sample)];
  if (result.tokens > 0)
    result.loss = std::accumulate(sums.begin(), sums.end(), 0.0) / static_cast<double>(result.tokens);
  return result;
}

}  // namespace tessera
