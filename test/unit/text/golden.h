#pragma once
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "text/tokenizer.h"

/// What another program makes of texts, one JSON object a line.
namespace tessera::test {

inline std::vector<nlohmann::json> read_json_lines(const std::filesystem::path& path) {
  std::ifstream in(path);
  REQUIRE(in);
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

inline nlohmann::json offsets_of(const Encoding& encoding) {
  nlohmann::json offsets = nlohmann::json::array();
  for (const auto& [begin, end] : encoding.offsets) offsets.push_back({begin, end});
  return offsets;
}

/// One of the small tokenizers that scripts/make_tokenizer_fixtures.py writes.
inline std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(TESSERA_TEST_DATA) / "tokenizer" / name;
}

}  // namespace tessera::test
