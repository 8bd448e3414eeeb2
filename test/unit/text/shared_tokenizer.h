#pragma once
#include <catch2/catch.hpp>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "support/temporary_folder.h"
#include "text/tokenizer.h"

/// Tokenizers of real models, which lie beside the project where they have been fetched.
namespace tessera::test {

struct SharedTokenizer {
  std::string name;       ///< as its golden file is called
  std::string directory;  ///< in the shared folder
  std::string file = "tokenizer.json";
};

inline const std::vector<SharedTokenizer>& shared_tokenizers() {
  static const std::vector<SharedTokenizer> all = {
      {"gpt2", "tokenizers/hf-gpt2"},       {"gpt2", "tokenizers/hf-gpt2", "tokenizer.listmerges.json"},
      {"llama2", "tokenizers/hf-llama2"},   {"llama3", "tokenizers/hf-llama3"},
      {"qwen3", "tokenizers/hf-qwen3"},     {"smollm2", "tokenizers/hf-smollm2"},
      {"stories260K", "models/stories260K"}};
  return all;
}

inline std::filesystem::path shared() { return TESSERA_SHARED; }

/// Nothing, with a message, where the tokenizer is not there.
inline std::optional<Tokenizer> load_shared(const SharedTokenizer& which) {
  const auto source = shared() / which.directory / which.file;
  if (!std::filesystem::exists(source)) {
    WARN("skipped: " << source << " is not there");
    return std::nullopt;
  }
  if (which.file == "tokenizer.json") return Tokenizer::load(source.parent_path());
  const TemporaryFolder folder;
  std::filesystem::copy_file(source, folder.path() / "tokenizer.json");
  return Tokenizer::load(folder.path());
}

}  // namespace tessera::test
