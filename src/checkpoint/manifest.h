#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

/// What makes a directory a checkpoint: manifest.json, written last and removed first.
namespace tessera {

struct Manifest {
  int64_t step = 0;
  int world_size = 0;
  std::vector<ShardFile> files;
};

std::filesystem::path manifest_path(const std::filesystem::path& step_directory);

/// Throws DataError where the manifest is missing, is not JSON, or is of another format or version.
Manifest read_manifest(const std::filesystem::path& step_directory);

/// Throws DataError where a file of the manifest is missing or of another size.
void require_files(const std::filesystem::path& step_directory, const Manifest& manifest);

/// The step of a directory named step-000100; nothing for other names.
std::optional<int64_t> step_of(const std::filesystem::path& step_directory);

/// Directories with a manifest in the folder `checkpoints`, by ascending step.
std::vector<std::filesystem::path> checkpoints_in(const std::filesystem::path& checkpoints);

/// What to do about a checkpoint that cannot be used: names the newest other one that is whole.
std::string advice_instead_of(const std::filesystem::path& step_directory);

}  // namespace tessera
