#include "base/log.h"
#include "cluster/agree.h"
#include "session/session.h"
#include "verbs/verb.h"

namespace tessera {

ExitCode run_preprocess(VerbContext& context) {
  ModelSpec spec;
  agree(context.cluster.world(), "reading the model's configuration",
        [&] { spec = load_model(context.job.model.base); });
  const PreparedFile file = prepare_on_cluster(context.job, context.cluster, spec.V);
  log::info("{}\n{}{}", file.summary, file.path.string(), file.reused ? " (reused)" : "");
  return ExitCode::done;
}

}  // namespace tessera
