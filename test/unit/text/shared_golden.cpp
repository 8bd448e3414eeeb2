#include <sstream>
#include <string>
#include <string_view>

#include "unit/text/golden.h"
#include "unit/text/shared_tokenizer.h"

using namespace tessera;
using namespace tessera::test;
using nlohmann::json;

namespace {

/// Calls `check(tokenizer, golden line)` for every line of every tokenizer's golden file.
template <typename Check>
void each_golden(const std::string& suffix, size_t expected_lines, Check check) {
  const auto& which = GENERATE(from_range(shared_tokenizers()));
  CAPTURE(which.name, which.file);
  const auto tokenizer = load_shared(which);
  if (!tokenizer) return;
  const auto lines = read_json_lines(shared() / "tokenizers/golden" / (which.name + suffix));
  CHECK(lines.size() == expected_lines);
  for (const json& line : lines) check(*tokenizer, line);
}

}  // namespace

TEST_CASE("ids of real tokenizers are those of the tokenizers library", "[golden]") {
  each_golden(".jsonl", 401, [](const Tokenizer& tokenizer, const json& line) {
    CAPTURE(line["text"]);
    CHECK(json(tokenizer.ids(line["text"].get<std::string>())) == line["ids"]);
  });
}

TEST_CASE("offsets of real tokenizers are those of the tokenizers library", "[golden]") {
  each_golden(".jsonl", 401, [](const Tokenizer& tokenizer, const json& line) {
    CAPTURE(line["text"]);
    const Encoding encoding = tokenizer.encode(line["text"].get<std::string>(), SpecialTokens::leave_out);
    CHECK(json(encoding.ids) == line["ids"]);
    CHECK(offsets_of(encoding) == line["offsets"]);
  });
}

TEST_CASE("special tokens that a real post-processor adds are those of the tokenizers library", "[golden]") {
  each_golden(".jsonl", 401, [](const Tokenizer& tokenizer, const json& line) {
    CAPTURE(line["text"]);
    const auto text = line["text"].get<std::string>();
    CHECK(json(tokenizer.encode(text, SpecialTokens::add).ids) == line["ids_special"]);
    CHECK(json(tokenizer.ids(text, SpecialTokens::add)) == line["ids_special"]);
  });
}

TEST_CASE("decoding the ids of a text gives what the tokenizers library gives", "[golden]") {
  each_golden(".jsonl", 401, [](const Tokenizer& tokenizer, const json& line) {
    CHECK(tokenizer.decode(line["ids"], SpecialDecode::keep) == line["decoded"].get<std::string>());
  });
}

TEST_CASE("decoding any list of ids gives what the tokenizers library gives", "[golden]") {
  each_golden(".decode.jsonl", 60, [](const Tokenizer& tokenizer, const json& line) {
    CAPTURE(line["ids"]);
    CHECK(tokenizer.decode(line["ids"], SpecialDecode::keep) == line["decoded"].get<std::string>());
    CHECK(tokenizer.decode(line["ids"], SpecialDecode::skip) == line["decoded_skip_special"].get<std::string>());
  });
}

namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> split(const std::string& text, std::string_view separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t found; (found = text.find(separator, begin)) != std::string::npos; begin = found + separator.size()) {
    parts.push_back(text.substr(begin, found - begin));
  }
  parts.push_back(text.substr(begin));
  return parts;
}

}  // namespace

TEST_CASE("ids of llama.cpp's test texts are llama.cpp's", "[golden]") {
  const auto [vectors, directory] = GENERATE(table<std::string, std::string>(
      {{"gpt-2", "hf-gpt2"}, {"llama-bpe", "hf-llama3"}, {"llama-spm", "hf-llama2"}, {"qwen2", "hf-qwen3"}}));
  CAPTURE(vectors);
  const auto tokenizer = load_shared({vectors, "tokenizers/" + directory});
  if (!tokenizer) return;
  const auto path = shared() / "tokenizers/vectors" / vectors;
  const auto texts = split(read_file(path.string() + ".inp"), "\n__ggml_vocab_test__\n");
  const auto lines = split(read_file(path.string() + ".out"), "\n");
  REQUIRE(texts.size() >= 47);
  REQUIRE(lines.size() >= texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    CAPTURE(texts[i]);
    std::istringstream numbers(lines[i]);
    const std::vector<int32_t> expected{std::istream_iterator<int32_t>(numbers), {}};
    CHECK(tokenizer->ids(texts[i]) == expected);
  }
}
