#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace tessera {

/// How tokens become text again: each step turns a list of texts into another; joined, the last one is the text.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual void apply(std::vector<std::string>& texts) const = 0;

  /// The "decoder" of the file named by `where`.  Throws DataError for one that is not known here.
  static std::unique_ptr<Decoder> read(const nlohmann::json& description, const std::string& where);
};

}  // namespace tessera
