#pragma once
#include <filesystem>
#include <optional>

#include "checkpoint/export.h"
#include "job/job.h"

namespace tessera {

/// What checkpoint.resume means: the newest complete checkpoint of output_dir (auto), the named one, or none (never, or
/// there is none yet).
std::optional<std::filesystem::path> chosen_checkpoint(const Job& job);

ExportSettings export_settings(const Job& job);

}  // namespace tessera
