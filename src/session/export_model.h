#pragma once
#include <filesystem>
#include <optional>

#include "job/job.h"

namespace tessera {

/// Exports a checkpoint of the job: a model; of a job with an adapter that adapter, or the base with the adapter merged
/// into it (checkpoint.export_adapter).  Without a checkpoint it exports the adapter that the job begins with.  Throws
/// DataError and JobError.
void export_model(const Job& job, const std::optional<std::filesystem::path>& checkpoint);

}  // namespace tessera
