#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace tessera {

/// A tokenizer.json's last step on an encoding: special tokens around it, spaces removed from its offsets.
struct PostProcessor {
  enum class Step { trim_offsets, trim_offsets_keeping_prefix, special_tokens };
  struct Template {
    std::vector<int32_t> before, after;  ///< ids around the text
  };
  std::vector<Step> steps;          ///< in turn
  std::vector<Template> templates;  ///< of the special_tokens steps, in turn

  bool trims() const;
  /// The "post_processor" of the file named by `where`; null is one that does nothing.  Throws DataError.
  static PostProcessor read(const nlohmann::json& description, const std::string& where);
};

}  // namespace tessera
