#pragma once
#include <cstdint>
#include <filesystem>

#include "checkpoint/checkpoint.h"
#include "device/dtype.h"

namespace tessera {

struct ExportSettings {
  std::filesystem::path base;       ///< generation, licence and tokenizer files are copied from here
  std::filesystem::path tokenizer;  ///< the tokenizer files' own directory; empty: base
  std::filesystem::path directory;  ///< made, or replaced file by file
  DType dtype = DType::bf16;
  int64_t max_shard_bytes = 5'000'000'000;
};

/// Throws JobError if the export cannot be written, or would overwrite the base model.
void require_export_directory(const ExportSettings& settings);

/// A checkpoint as a Hugging Face directory: config.json (with the export's dtype), model.safetensors or
/// model-0000k-of-0000n.safetensors with its index, tokenizer and generation files.  Streams a few MiB at a time.
/// Weights are written under temporary names, then renamed; config.json is written last; while old and new files mix
/// there is none.
void export_checkpoint(const CheckpointReader& checkpoint, const ExportSettings& settings);

}  // namespace tessera
