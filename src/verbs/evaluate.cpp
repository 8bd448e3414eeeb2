#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "cluster/agree.h"
#include "session/compute_device.h"
#include "session/initial_weights.h"
#include "session/job_choices.h"
#include "session/weights.h"
#include "trainer/evaluation.h"
#include "verbs/verb.h"

namespace tessera {
namespace {

/// Of the checkpoint that the job chooses, else those that it begins with.
void load_chosen_weights(Session& session) {
  const Job& job = session.job();
  const auto checkpoint = chosen_checkpoint(job);
  const bool random = !checkpoint && job.model.init == Init::random;
  if (session.is_first())
    log::info("weights: {}", random       ? "random (model.init)"
                             : checkpoint ? checkpoint->string()
                                          : job.model.base.string());
  const InitialWeights initial(job, session.spec(), compute_threads(job, session.cluster()));
  const ReadElements read_initial = std::bind_front(&InitialWeights::read, &initial);
  if (checkpoint)
    load_checkpoint(session.model(), read_initial, CheckpointReader(*checkpoint));
  else
    load_weights(session.model(), read_initial);
  session.model().synchronize();
}

}  // namespace

ExitCode run_evaluate(VerbContext& context) {
  Session session(context.job, context.cluster);
  Evaluation evaluation(session);
  const bool empty = evaluation.empty();
  agree(
      session.world(), "reading the weights",
      [&] {
        if (empty) throw JobError("there is no evaluation data; set [data] val_set_size or add an [eval_dataset.NAME]");
        load_chosen_weights(session);
      },
      Patience::unlimited);
  const EvaluationResult result = evaluation.run();
  log::info("evaluation loss {:.6f} over {} tokens", result.loss, result.tokens);
  return ExitCode::done;
}

}  // namespace tessera
