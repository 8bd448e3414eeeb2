#pragma once
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/safetensors.h"

namespace tessera {

/// A matrix that bitsandbytes has quantised to NF4, as transformers' save_pretrained writes it: NAME has the packed
/// codes; beside it lie NAME.absmax, NAME.quant_map and, with double quantisation, NAME.nested_absmax and
/// NAME.nested_quant_map; NAME.quant_state.bitsandbytes__nf4 is JSON, in bytes.
class Nf4Tensor {
 public:
  /// What is behind NAME in the name of the JSON.
  static constexpr std::string_view state_suffix = ".quant_state.bitsandbytes__nf4";

  /// `files` outlive it.  Throws DataError where a part is missing, has another size, or is made with other settings
  /// than bitsandbytes' own: blocks of 64, of 256 absmax, its maps.  `where`: the directory, for messages.
  Nf4Tensor(const SafetensorsReader& files, std::string where, std::string name);

  const std::vector<int64_t>& shape() const { return shape_; }
  bool is_double() const { return is_double_; }
  /// All tensors of the files that it is made of.
  std::set<std::string> names() const;

  /// Elements [offset, offset + count) of the flattened matrix, dequantised in fp32.
  void read(int64_t offset, int64_t count, float* out) const;

  /// As Nf4Matrix has them (kernels/quantization.h).
  enum class Part : uint8_t { codes, absmax, absmax_codes, mean };
  /// Bytes [offset, offset + count) of a part.
  void read_part(Part part, int64_t offset, int64_t count, void* out) const;

 private:
  void read_state();
  void require_size(const std::string& suffix, std::string_view dtype, int64_t bytes) const;
  void require_map(const std::string& suffix, const float* expected, int64_t count) const;
  std::vector<float> read_absmax(int64_t first, int64_t count) const;

  const SafetensorsReader& files_;
  std::string where_, name_;
  std::vector<int64_t> shape_;
  int64_t size_ = 0;
  bool is_double_ = false;
  float mean_ = 0;
};

}  // namespace tessera
