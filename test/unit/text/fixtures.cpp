#include <thread>

#include "unit/text/golden.h"

using namespace tessera;
using namespace tessera::test;
using nlohmann::json;

namespace {

/// Calls `check(tokenizer, line)` for every line that the tokenizers library wrote for every fixture.
template <typename Check>
void each_expected(Check check) {
  const std::string name = GENERATE("byte-level", "digits", "sentencepiece", "metaspace");
  CAPTURE(name);
  const Tokenizer tokenizer = Tokenizer::load(fixture(name));
  const auto lines = read_json_lines(fixture(name) / "expected.jsonl");
  REQUIRE(lines.size() > 50);
  for (const json& line : lines) {
    CAPTURE(line["text"]);
    check(tokenizer, line);
  }
}

}  // namespace

TEST_CASE("encode gives the ids and offsets of the tokenizers library") {
  each_expected([](const Tokenizer& tokenizer, const json& line) {
    const Encoding encoding = tokenizer.encode(line["text"].get<std::string>(), SpecialTokens::leave_out);
    CHECK(json(encoding.ids) == line["ids"]);
    CHECK(offsets_of(encoding) == line["offsets"]);
  });
}

TEST_CASE("encode adds the special tokens that the tokenizers library adds") {
  each_expected([](const Tokenizer& tokenizer, const json& line) {
    const Encoding encoding = tokenizer.encode(line["text"].get<std::string>(), SpecialTokens::add);
    CHECK(json(encoding.ids) == line["ids_special"]);
    CHECK(offsets_of(encoding) == line["offsets_special"]);
  });
}

TEST_CASE("ids gives the ids of encode") {
  each_expected([](const Tokenizer& tokenizer, const json& line) {
    const auto text = line["text"].get<std::string>();
    CHECK(json(tokenizer.ids(text)) == line["ids"]);
    CHECK(json(tokenizer.ids(text, SpecialTokens::add)) == line["ids_special"]);
  });
}

TEST_CASE("decode gives the text of the tokenizers library") {
  each_expected([](const Tokenizer& tokenizer, const json& line) {
    CHECK(tokenizer.decode(line["ids"], SpecialDecode::keep) == line["decoded"].get<std::string>());
    CHECK(tokenizer.decode(line["ids_special"], SpecialDecode::skip) ==
          line["decoded_skip_special"].get<std::string>());
  });
}

TEST_CASE("threads that share a tokenizer get the encodings of one thread") {
  const Tokenizer tokenizer = Tokenizer::load(fixture("byte-level"));
  const auto lines = read_json_lines(fixture("byte-level") / "expected.jsonl");
  std::vector<int> right(4, 0);
  std::vector<std::thread> threads;
  for (int& count : right) {
    threads.emplace_back([&] {
      for (const json& line : lines) count += json(tokenizer.ids(line["text"].get<std::string>())) == line["ids"];
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(right == std::vector<int>(4, static_cast<int>(lines.size())));
}

TEST_CASE("a text of a million letters is encoded as one piece") {
  const Tokenizer tokenizer = Tokenizer::load(fixture("byte-level"));
  const std::string text(1'000'000, 'm');
  CHECK(tokenizer.decode(tokenizer.ids(text), SpecialDecode::keep) == text);
}

TEST_CASE("bytes that are not UTF-8 become U+FFFD") {
  const Tokenizer tokenizer = Tokenizer::load(fixture("byte-level"));
  CHECK(tokenizer.decode(tokenizer.ids("a\xFF\xE5\x8C!"), SpecialDecode::keep) == "a\uFFFD\uFFFD!");
}

TEST_CASE("offsets of a text that is not UTF-8 are those of its own bytes") {
  const Tokenizer tokenizer = Tokenizer::load(fixture("byte-level"));
  const Encoding encoding = tokenizer.encode("\xE5\x8C!", SpecialTokens::leave_out);
  CHECK(encoding.offsets.front() == std::pair<int64_t, int64_t>(0, 2));
  CHECK(encoding.offsets.back() == std::pair<int64_t, int64_t>(2, 3));
}
