#include "data/inspect.h"

#include <unistd.h>

#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "session/job_choices.h"
#include "session/session.h"
#include "verbs/verb.h"

namespace tessera {

ExitCode run_inspect(VerbContext& context) {
  const Job& job = context.job;
  const ModelSpec spec = load_model(job.model.base);
  const PreparedFile file = prepare_on_cluster(job, context.cluster, spec.V);
  const auto tokenizer = load_tokenizer(job, spec.V);
  const PreparedSet set(file.path, "train");
  log::info("{}\n{}", file.summary, describe_samples(set, tokenizer ? &*tokenizer : nullptr, 4, ::isatty(1) != 0));
  if (const auto checkpoint = chosen_checkpoint(job)) log::info("{}", describe_checkpoint(*checkpoint));
  return ExitCode::done;
}

}  // namespace tessera
