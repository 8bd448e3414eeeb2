#include "base/log.h"
#include "cluster/agree.h"
#include "trainer/trainer.h"
#include "verbs/verb.h"

namespace tessera {

ExitCode run_training(VerbContext& context) {
  Cluster& cluster = context.cluster;
  if (any_rank(cluster.world(), "the ranks' stop signals", signals::stop_requested())) {
    log::info("stopped by a signal before the start; run the same command again");
    return ExitCode::asked_to_stop;
  }
  const auto trainer = std::make_shared<Trainer>(context.job, cluster);
  context.outlives_errors = trainer;
  return trainer->run();
}

}  // namespace tessera
