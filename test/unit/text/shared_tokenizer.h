#pragma once
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

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

/// A folder of its own under the temporary folder, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "tessera-text-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()));
    path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path_ / name) << text; }

 private:
  std::filesystem::path path_;
};

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

inline std::vector<nlohmann::json> read_json_lines(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

}  // namespace tessera::test
