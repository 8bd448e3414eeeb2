#pragma once
#include <cstdint>
#include <filesystem>

/// Removal of old checkpoints and of leftovers of unfinished saves. Only what a save has written is removed: real
/// directories of the right name, and in them regular files of the right names.
namespace tessera {

/// Prepares a step's directory for a save of so many shards: a link at its name is replaced by a directory; an older
/// manifest is removed first, so that the directory stops being a checkpoint, then the shards of other numbers of ranks
/// and temporary files. Every rank calls it before it writes.
void prepare_step_directory(const std::filesystem::path& directory, int world_size);

/// Removes directories beside `own` that contain only leftovers of an unfinished save: shards and temporary files, and
/// no manifest. Rank 0 calls it before a save, when no other runs; failure to remove one is a warning.
void remove_leftovers(const std::filesystem::path& own);

/// Removes complete checkpoints beside `own` beyond the limit (0: none), oldest first.
void remove_beyond_limit(const std::filesystem::path& own, int64_t save_total_limit);

}  // namespace tessera
