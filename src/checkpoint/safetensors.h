#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace tessera {

/// The safetensors of a Hugging Face directory: model.safetensors, or the files of model.safetensors.index.json.  Reads
/// slices (pread), so a rank touches only its own bytes.  F32, BF16, F16 become float.
class SafetensorsReader {
 public:
  /// Checks every header: lengths, overlaps, truncated files, index entries without a tensor.  Throws DataError.
  /// `stem`: of the files' names, "model" or "adapter_model".
  explicit SafetensorsReader(const std::filesystem::path& directory, const std::string& stem = "model");
  ~SafetensorsReader();

  bool contains(const std::string& name) const;
  std::vector<std::string> names() const;
  const std::vector<int64_t>& shape(const std::string& name) const;  ///< throws DataError where it is missing
  const std::string& dtype(const std::string& name) const;           ///< as the header has it: "BF16", "U8"
  int64_t byte_count(const std::string& name) const;
  /// Elements [offset, offset + count) of the flattened tensor.  Throws DataError if one is not finite.
  void read(const std::string& name, int64_t offset, int64_t count, float* out) const;
  /// Bytes [offset, offset + count) of a tensor of any type.
  void read_bytes(const std::string& name, int64_t offset, int64_t count, void* out) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tessera
