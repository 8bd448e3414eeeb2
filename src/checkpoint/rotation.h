#pragma once
#include <cstdint>
#include <filesystem>

/// What saves take away again: old checkpoints, and what saves that were not finished have left.  Only what a save has
/// written goes: real directories of the right name, and in them regular files of the right names.
namespace tessera {

/// Makes the directory of a step a place for a save of so many shards: a link at its name gives way to a directory; an
/// older manifest goes first, so that it is no checkpoint from here on, then the shards of other numbers of ranks and
/// temporary files.  Every rank calls it before it writes.
void prepare_step_directory(const std::filesystem::path& directory, int world_size);

/// Directories beside `own` that hold nothing but what an unfinished save leaves: shards and temporary files, and no
/// manifest.  Rank 0 calls it before a save begins, when no other one runs; what cannot be removed is a warning.
void remove_leftovers(const std::filesystem::path& own);

/// Complete checkpoints beside `own` beyond the limit (0: none), oldest first.
void remove_beyond_limit(const std::filesystem::path& own, int64_t save_total_limit);

}  // namespace tessera
