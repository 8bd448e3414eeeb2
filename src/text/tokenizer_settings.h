#pragma once
#include <filesystem>
#include <optional>
#include <string>

namespace tessera {

/// The files beside a tokenizer.json: tokenizer_config.json, special_tokens_map.json, chat_template.jinja.
struct TokenizerSettings {
  std::optional<std::string> bos_token, eos_token;
  std::string chat_template;  ///< the Jinja text; empty where there is none

  /// Missing files are skipped. Throws DataError for an invalid one.
  static TokenizerSettings read(const std::filesystem::path& directory);
};

}  // namespace tessera
