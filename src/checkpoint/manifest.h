#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

/// manifest.json makes a directory a checkpoint: it is written last and removed first.
namespace tessera {

struct Manifest {
  int64_t step = 0, epoch = 0, samples_seen = 0, tokens_seen = 0;
  int world_size = 0;
  std::vector<ShardFile> files;  ///< by rank: each has the shard_name() of its place
};

std::filesystem::path manifest_path(const std::filesystem::path& step_directory);

/// Throws DataError where the manifest is missing, is not JSON, is of another format or version, or is implausible:
/// counters that are negative or not integers, files other than the shards of its world size.
Manifest read_manifest(const std::filesystem::path& step_directory);

/// Throws DataError where a file of the manifest is missing or of another size.
void require_files(const std::filesystem::path& step_directory, const Manifest& manifest);

/// The step of a directory named step-000100; nothing for other names.
std::optional<int64_t> step_of(const std::filesystem::path& directory);

/// Directories with a manifest in the folder `checkpoints`, by ascending step; links are left out.
std::vector<std::filesystem::path> checkpoints_in(const std::filesystem::path& checkpoints);

/// The remedy for an unusable checkpoint: names the newest other complete one.
std::string advice_instead_of(const std::filesystem::path& step_directory);

}  // namespace tessera
