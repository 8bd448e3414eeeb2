#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "device/dtype.h"

namespace tessera {

struct ExportSettings {
  std::filesystem::path base;       ///< tokenizer and generation files are copied from here
  std::filesystem::path directory;  ///< made, or replaced file by file
  DType dtype = DType::bf16;
  int64_t max_shard_bytes = 5'000'000'000;
};

/// A checkpoint as a Hugging Face directory: config.json (with the export's dtype), model.safetensors or
/// model-0000k-of-0000n.safetensors with its index, tokenizer and generation files.  Streams: peak memory is one tensor.
/// The files are written under temporary names and renamed last.  `tensor_order`: names in file order.
void export_checkpoint(const CheckpointReader& checkpoint, const ExportSettings& settings);

}  // namespace tessera
