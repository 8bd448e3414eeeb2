#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "cluster/agree.h"
#include "session/job_choices.h"
#include "session/job_weights.h"
#include "trainer/evaluation.h"
#include "verbs/verb.h"

namespace tessera {
namespace {

/// Of the checkpoint that the job chooses, else those that it begins with.
void load_chosen_weights(Session& session) {
  const Job& job = session.job();
  std::optional<CheckpointReader> checkpoint;
  agree(session.world(), "looking for a checkpoint", [&] {
    const auto directory = chosen_checkpoint(job);
    if (directory) checkpoint.emplace(*directory);
    const bool random = !directory && job.model.init == Init::random;
    if (session.is_first())
      log::info("weights: {}", random      ? "random (model.init)"
                               : directory ? directory->string()
                                           : job.model.base.string());
  });
  load_job_weights(session, checkpoint ? &*checkpoint : nullptr);
}

}  // namespace

ExitCode run_evaluate(VerbContext& context) {
  Session session(context.job, context.cluster);
  Evaluation evaluation(session);
  const bool empty = evaluation.empty();
  agree(session.world(), "looking for evaluation data", [&] {
    if (empty) throw JobError("there is no evaluation data; set [data] val_set_size or add an [eval_dataset.NAME]");
  });
  load_chosen_weights(session);
  const EvaluationResult result = evaluation.run();
  log::info("evaluation loss {:.6f} over {} tokens", result.loss, result.tokens);
  return ExitCode::done;
}

}  // namespace tessera
