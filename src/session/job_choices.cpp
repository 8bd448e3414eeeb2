#include "session/job_choices.h"

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/checkpoint.h"

namespace tessera {

std::optional<std::filesystem::path> chosen_checkpoint(const Job& job) {
  if (job.checkpoint.resume == "auto") return find_latest_checkpoint(job.job.output_dir);
  if (job.checkpoint.resume == "never") return std::nullopt;
  if (!is_folder(job.checkpoint.resume))
    throw JobError("[checkpoint] resume: no such directory: {}; expected auto, never, or a checkpoint directory",
                   job.checkpoint.resume);
  return job.checkpoint.resume;
}

ExportSettings export_settings(const Job& job) {
  ExportSettings settings;
  settings.base = job.model.base;
  settings.tokenizer = job.model.tokenizer;
  settings.directory = job.checkpoint.export_dir;
  settings.dtype = job.checkpoint.export_dtype == Precision::bf16 ? DType::bf16 : DType::f32;
  settings.max_shard_bytes = job.checkpoint.max_shard_bytes;
  return settings;
}

std::string named(const std::vector<DatasetSettings>& sets, const std::string& section) {
  std::string names;
  for (const DatasetSettings& set : sets)
    names += fmt::format("{}[{}.{}] ({})", names.empty() ? "" : ", ", section, set.name, set.path);
  return names;
}

}  // namespace tessera
