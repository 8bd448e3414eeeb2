#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "session/job_choices.h"
#include "verbs/verb.h"

namespace tessera {

ExitCode run_export(VerbContext& context) {
  const Job& job = context.job;
  const auto checkpoint = chosen_checkpoint(job);
  if (!checkpoint) throw DataError("{}: no complete checkpoint to export", job.job.output_dir.string());
  export_checkpoint(CheckpointReader(*checkpoint), export_settings(job));
  log::info("exported {} to {}", checkpoint->string(), job.checkpoint.export_dir.string());
  return ExitCode::done;
}

}  // namespace tessera
