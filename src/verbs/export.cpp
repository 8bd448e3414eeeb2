#include "base/log.h"
#include "session/export_model.h"
#include "session/job_choices.h"
#include "verbs/verb.h"

namespace tessera {

ExitCode run_export(VerbContext& context) {
  const Job& job = context.job;
  const auto checkpoint = chosen_checkpoint(job);
  export_model(job, checkpoint);
  log::info("exported {} to {}", checkpoint ? checkpoint->string() : job.adapter.base_adapter.string(),
            job.checkpoint.export_dir.string());
  return ExitCode::done;
}

}  // namespace tessera
