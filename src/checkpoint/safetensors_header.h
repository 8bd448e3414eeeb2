#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/raw_file.h"

namespace tessera {

/// Where a tensor lies in its file and what its bytes mean.
struct SafetensorsEntry {
  std::string dtype;  ///< as it is written there: F32, BF16, …
  std::vector<int64_t> shape;
  int64_t begin = 0;  ///< bytes from the beginning of the file
  int64_t end = 0;
};

/// The header of a safetensors file (8 bytes little-endian length, JSON, data), checked against the file: every range
/// lies inside, none overlap, each is as long as shape and dtype say.  Throws DataError with file, tensor, and what to
/// do. https://github.com/huggingface/safetensors#format
std::map<std::string, SafetensorsEntry> read_safetensors_header(const RawFile& file);

}  // namespace tessera
