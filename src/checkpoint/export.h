#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors_writer.h"
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

/// What a directory is to hold beside the files that are copied.
struct ExportContent {
  std::string weights = "model";        ///< NAME.safetensors, or NAME-0000k-of-0000n.safetensors with an index
  std::vector<ExportedTensor> tensors;  ///< in the order of the files
  DType dtype = DType::bf16;
  std::string config_name = "config.json";  ///< without which no program takes the directory for a model
  std::string config;
  /// Hands out a tensor's elements from the first to the last, and returns when all are.
  using Append = std::function<void(const float* elements, int64_t count)>;
  std::function<void(const ExportedTensor& tensor, const Append& append)> stream;
};

/// Writes it, with the tokenizer and generation files.  Streams: memory is what `stream` takes.  Weights are written
/// under temporary names, then renamed; the config is written last; while old and new files mix there is none.  Throws
/// DataError where it fails, or a JobError as require_export_directory().
void write_export(const ExportContent& content, const ExportSettings& settings);

/// A checkpoint of a whole model as a Hugging Face directory: config.json with the export's dtype, weights, and what
/// write_export() adds.
void export_checkpoint(const CheckpointReader& checkpoint, const ExportSettings& settings);

/// Names in the order of a model: layers.2 before layers.10.
bool natural_less(const std::string& a, const std::string& b);

/// config.json with the dtype of the weights beside it, in the spelling that the file has.  Throws DataError where it
/// is no JSON object; `where` is what holds it.
std::string config_with_dtype(const std::string& config, DType dtype, const std::string& where);

}  // namespace tessera
