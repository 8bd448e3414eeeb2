#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/raw_file.h"
#include "device/dtype.h"

namespace tessera {

/// A tensor that an export will hold.
struct ExportedTensor {
  std::string name;
  std::vector<int64_t> shape;
  int64_t count = 0;
};

/// Writes one safetensors file from front to back: the header of all its tensors, then their elements as they come.
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, const std::vector<ExportedTensor>& tensors, DType dtype);

  /// The next `count` elements, in the order of `tensors`, rounded to the file's dtype.
  void append(const float* values, int64_t count);
  /// Syncs and closes; every element has been appended.
  void finish();

 private:
  RawFile file_;
  DType dtype_;
  int64_t position_ = 0;  // byte where the next element goes
  int64_t end_ = 0;
  std::vector<bf16> rounded_;
};

}  // namespace tessera
