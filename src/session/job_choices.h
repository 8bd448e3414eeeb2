#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/export.h"
#include "job/job.h"

namespace tessera {

/// What checkpoint.resume means: the newest complete checkpoint of output_dir (auto), the named one, or none (never, or
/// there is none yet).
std::optional<std::filesystem::path> chosen_checkpoint(const Job& job);

ExportSettings export_settings(const Job& job);

/// "[dataset.a] (data/a.jsonl), [dataset.b] (data/b.jsonl)", for messages.  section: "dataset" or "eval_dataset".
std::string named(const std::vector<DatasetSettings>& sets, const std::string& section);

}  // namespace tessera
