#pragma once
#include <cstdint>
#include <filesystem>

#include "checkpoint/checkpoint.h"

/// The small HDF5 files that fuzzing begins with, and reading such files whole.
namespace tessera::fuzz {

/// A checkpoint of one rank with two small tensors, written as training writes it.
void write_checkpoint(const std::filesystem::path& step_directory);

/// A prepared file of three samples, sound to the last checksum.  The program's own has room for 16,384 tokens at
/// least; this one is a few KB.
void write_prepared(const std::filesystem::path& path);

/// manifest.json for whatever lies at the name of the one shard, with its size and checksum.
void write_manifest(const std::filesystem::path& step_directory);

/// Opens the checkpoint and reads all of it, as a resume does; exports it.
void read_checkpoint(const std::filesystem::path& step_directory);

/// Reads the file whole, with its checksums and then as if all were right.
void read_prepared(const std::filesystem::path& path);

/// Changes bytes.  Most of them are under checksums of the HDF5 library's own, which then refuses the file; where the
/// environment has FUZZ_LIBHDF5, these are mended, so that the library reads what was changed.  It has faults of its
/// own there (docs/reliability.md).
size_t mutate_hdf5(uint8_t* data, size_t size, size_t max_size);

}  // namespace tessera::fuzz
