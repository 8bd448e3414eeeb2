#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace tessera {

/// Decodes tokens to text: each step maps a list of texts to another; the last list, joined, is the text.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual void apply(std::vector<std::string>& texts) const = 0;

  /// The "decoder" of the file named by `where`.  Throws DataError if it is not supported.
  static std::unique_ptr<Decoder> read(const nlohmann::json& description, const std::string& where);
};

}  // namespace tessera
