#include <functional>

#include "base/error.h"
#include "support/temporary_folder.h"
#include "unit/text/golden.h"

using namespace tessera;
using namespace tessera::test;
using Catch::Matchers::Contains;
using nlohmann::json;

namespace {

/// A byte-level tokenizer.json of three tokens and one merge.
json small_tokenizer() {
  return json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 3, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
                      "normalized": false, "special": true}],
    "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
    "post_processor": null,
    "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})");
}

Tokenizer load(const json& description) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", description.dump());
  return Tokenizer::load(folder.path());
}

/// The message of the DataError that loading the small tokenizer gives once it is changed.
std::string error_of(const std::function<void(json&)>& change) {
  json description = small_tokenizer();
  change(description);
  try {
    load(description);
  } catch (const DataError& error) {
    return error.what();
  }
  return "no error";
}

Tokenizer load_with(const std::string& name, const std::string& text) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", small_tokenizer().dump());
  folder.write(name, text);
  return Tokenizer::load(folder.path());
}

}  // namespace

TEST_CASE("a tokenizer knows its tokens both ways") {
  const Tokenizer tokenizer = load(small_tokenizer());
  CHECK(tokenizer.token_to_id("ab") == 2);
  CHECK(tokenizer.token_to_id("<s>") == 3);
  CHECK_FALSE(tokenizer.token_to_id("c"));
  CHECK(tokenizer.id_to_token(2) == "ab");
  CHECK(tokenizer.id_to_token(4).empty());
  CHECK(tokenizer.vocab_size() == 4);
}

TEST_CASE("only special added tokens are special") {
  const Tokenizer tokenizer = load(small_tokenizer());
  CHECK(tokenizer.is_special(3));
  CHECK_FALSE(tokenizer.is_special(2));
}

TEST_CASE("merges are read as texts and as pairs") {
  json pairs = small_tokenizer();
  pairs["model"]["merges"] = json::parse(R"([["a", "b"]])");
  CHECK(load(small_tokenizer()).ids("abb") == std::vector<int32_t>{2, 1});
  CHECK(load(pairs).ids("abb") == std::vector<int32_t>{2, 1});
}

TEST_CASE("a missing file is a DataError that names it") {
  CHECK_THROWS_WITH(Tokenizer::load(TemporaryFolder().path()), Contains("/tokenizer.json"));
  CHECK_THROWS_AS(Tokenizer::load("/nowhere"), JobError);
  CHECK_THROWS_WITH(Tokenizer::load("/nowhere"), Contains("/nowhere: no such directory"));
}

TEST_CASE("a truncated file is a DataError that names it") {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", small_tokenizer().dump().substr(0, 300));
  CHECK_THROWS_AS(Tokenizer::load(folder.path()), DataError);
  CHECK_THROWS_WITH(Tokenizer::load(folder.path()), Contains("tokenizer.json") && Contains("not a complete JSON"));
}

TEST_CASE("an unsupported setting is a DataError that names it") {
  using Change = std::function<void(json&)>;
  const auto [change, name] = GENERATE(table<Change, std::string>({
      {[](json& d) { d["model"]["type"] = "WordPiece"; }, "WordPiece"},
      {[](json& d) {
         d["model"]["type"] = "Unigram";
         d["model"]["vocab"] = json::array({{"a", -1.0}});
       },
       "Unigram"},
      {[](json& d) { d["model"]["dropout"] = 0.1; }, "dropout"},
      {[](json& d) { d["model"]["end_of_word_suffix"] = "</w>"; }, "end_of_word_suffix"},
      {[](json& d) { d["model"]["new_setting"] = 1; }, "new_setting"},
      {[](json& d) {
         d["normalizer"] = {{"type", "StripAccents"}};
       },
       "StripAccents"},
      {[](json& d) {
         d["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
       },
       "BertPreTokenizer"},
      {[](json& d) { d["pre_tokenizer"]["new_setting"] = 1; }, "new_setting"},
      {[](json& d) {
         d["post_processor"] = {{"type", "BertProcessing"}};
       },
       "BertProcessing"},
      {[](json& d) {
         d["decoder"] = {{"type", "CTC"}};
       },
       "CTC"},
      {[](json& d) {
         d["truncation"] = {{"max_length", 8}};
       },
       "truncation"},
      {[](json& d) {
         d["padding"] = {{"strategy", {{"Fixed", 8}}}};
       },
       "padding"},
      {[](json& d) { d["version"] = "2.0"; }, "2.0"},
  }));
  CHECK_THAT(error_of(change), Contains("tokenizer.json") && Contains(name));
}

TEST_CASE("a pattern that PCRE2 cannot run with the same meaning is a DataError") {
  const std::string pattern = GENERATE("[a&&b]", "(?m:a)", "\\bword", "\\G", "(", "[[:alpha:]]");
  CHECK_THAT(error_of([&](json& d) {
               d["pre_tokenizer"] = {
                   {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
             }),
             Contains("tokenizer.json") && Contains(pattern));
}

TEST_CASE("steps that are nested or listed without end are refused") {
  for (const char* room : {"normalizer", "pre_tokenizer", "decoder", "post_processor"}) {
    const std::string key = room == std::string("normalizer")      ? "normalizers"
                            : room == std::string("pre_tokenizer") ? "pretokenizers"
                            : room == std::string("decoder")       ? "decoders"
                                                                   : "processors";
    json nested = {{"type", "Sequence"}, {key, json::array()}};
    for (int i = 0; i < 1000; ++i) nested = {{"type", "Sequence"}, {key, json::array({std::move(nested)})}};
    CHECK_THAT(error_of([&](json& d) { d[room] = nested; }), Contains("tokenizer.json") && Contains("nested"));
    json many = {{"type", "Sequence"}, {key, json::array()}};
    for (int i = 0; i < 1000; ++i) many[key].push_back({{"type", "NFC"}});
    CHECK_THAT(error_of([&](json& d) { d[room] = many; }), Contains("tokenizer.json") && Contains("1000"));
  }
}

TEST_CASE("an id far above the vocabulary is refused before it takes memory") {
  CHECK_THAT(error_of([](json& d) { d["model"]["vocab"]["b"] = 1 << 26; }),
             Contains("token b") && Contains("67108864"));
  CHECK_THAT(error_of([](json& d) { d["added_tokens"][0]["id"] = int64_t{1} << 40; }), Contains("added_tokens"));
}

TEST_CASE("a vocabulary may have gaps between its ids") {
  CHECK(load([] {
          json gap = small_tokenizer();
          gap["model"]["vocab"]["b"] = 100'000;
          return gap;
        }())
            .token_to_id("b") == 100'000);
}

TEST_CASE("special tokens without end and tokens of endless length are refused") {
  json step = {{"type", "TemplateProcessing"},
               {"single", {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}}}}}},
               {"pair", json::array()},
               {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", std::vector<int>(1000, 3)}}}}}};
  CHECK_THAT(error_of([&](json& d) { d["post_processor"] = step; }), Contains("tokenizer.json") && Contains("special"));
  step["special_tokens"]["<s>"]["ids"] = json::array({-1});
  CHECK_THAT(error_of([&](json& d) { d["post_processor"] = step; }), Contains("-1"));
  const std::string error = error_of([](json& d) { d["added_tokens"][0]["content"] = std::string(100'000, 'x'); });
  CHECK_THAT(error, Contains("added token") && Contains("100000 bytes"));
  CHECK(error.size() < 500);
  CHECK_THAT(error_of([](json& d) {
               d["decoder"] = {{"type", "Strip"}, {"content", ""}, {"start", int64_t{1} << 60}, {"stop", 0}};
             }),
             Contains("Strip") && Contains("empty"));
}

TEST_CASE("a pattern that tries ever more ways is ended with its name, not waited for") {
  json hostile = small_tokenizer();
  hostile["pre_tokenizer"] = {
      {"type", "Split"}, {"pattern", {{"Regex", "(a|a|aa)+$"}}}, {"behavior", "Isolated"}, {"invert", false}};
  const Tokenizer tokenizer = load(hostile);
  CHECK_THROWS_WITH(tokenizer.ids(std::string(60, 'a') + "b"),
                    Contains("tokenizer.json: pre_tokenizer Split") && Contains("(a|a|aa)+$"));
}

TEST_CASE("patterns of real tokenizers run through a long text of one kind") {
  json patterned = small_tokenizer();
  for (
      const char* pattern :
      {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
       R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}) {
    patterned["pre_tokenizer"] = {
        {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
    const Tokenizer tokenizer = load(patterned);
    for (const std::string kind : {" ", "a", "1", "!", "\n", " \n", "a ", " a"}) {
      std::string text;
      while (text.size() < 2'000'000) text += kind;
      CHECK_NOTHROW(tokenizer.ids(text));
    }
  }
}

TEST_CASE("rules that make ever more of a text are ended with the name of one") {
  json hostile = small_tokenizer();
  json rules = json::array();
  for (int i = 0; i < 40; ++i)
    rules.push_back({{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}});
  hostile["normalizer"] = {{"type", "Sequence"}, {"normalizers", rules}};
  CHECK_THROWS_WITH(load(hostile).ids("banana"),
                    Contains("tokenizer.json: normalizer") && Contains("Replace") && Contains("grows beyond"));
  hostile["normalizer"] = {{"type", "Replace"}, {"pattern", {{"Regex", "."}}}, {"content", std::string(10'000, 'a')}};
  CHECK_THROWS_WITH(load(hostile).ids(std::string(10'000, 'b')), Contains("Replace") && Contains("grows beyond"));
}

TEST_CASE("a text may grow as much as composed characters and marks for spaces make it") {
  json growing = small_tokenizer();
  growing["normalizer"] = {
      {"type", "Sequence"},
      {"normalizers",
       {{{"type", "NFKD"}}, {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}}}}};
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "\uFDFA";  // of 18 characters in NFKD, three of them spaces
  CHECK_NOTHROW(load(growing).ids(text));
}

TEST_CASE("a merge of a token that is missing is a DataError that names both") {
  const auto merge = GENERATE(as<std::string>(), "a c", "b a");
  const std::string error = error_of([&](json& d) { d["model"]["merges"] = {merge}; });
  CHECK_THAT(error, Contains("tokenizer.json") && Contains("merge 1") && Contains(merge == "a c" ? "\"c\"" : "\"ba\""));
}

TEST_CASE("merges and ids that make no sense are DataErrors") {
  CHECK_THAT(error_of([](json& d) { d["model"]["merges"] = {"a b c"}; }), Contains("merge 1"));
  CHECK_THAT(error_of([](json& d) { d["model"]["merges"] = json::parse(R"([["a"]])"); }), Contains("merge 1"));
  CHECK_THAT(error_of([](json& d) { d["model"]["vocab"]["b"] = -1; }), Contains("\"b\"") || Contains("token b"));
  CHECK_THAT(error_of([](json& d) { d["model"].erase("merges"); }), Contains("merges"));
  CHECK_THAT(error_of([](json& d) { d["added_tokens"][0]["id"] = 7; }), Contains("<s>") && Contains("7"));
}

TEST_CASE("special tokens are named as texts and as objects") {
  CHECK(load_with("tokenizer_config.json", R"({"bos_token": "<s>"})").bos_id() == 3);
  CHECK(load_with("tokenizer_config.json", R"({"eos_token": {"content": "<s>"}})").eos_id() == 3);
  CHECK_FALSE(load_with("tokenizer_config.json", R"({"eos_token": null})").eos_id());
}

TEST_CASE("special_tokens_map.json names what tokenizer_config.json does not") {
  CHECK(load_with("special_tokens_map.json", R"({"eos_token": "<s>"})").eos_id() == 3);
}

TEST_CASE("an end token that is missing is a DataError that names it") {
  CHECK_THROWS_WITH(load_with("tokenizer_config.json", R"({"eos_token": "</s>"})"), Contains("</s>"));
}

TEST_CASE("a chat template is found in each of its places") {
  CHECK(load_with("tokenizer_config.json", R"({"chat_template": "T"})").chat_template() == "T");
  CHECK(load_with("chat_template.jinja", "T").chat_template() == "T");
  const std::string list =
      R"({"chat_template": [{"name": "rag", "template": "R"}, {"name": "default", "template": "T"}]})";
  CHECK(load_with("tokenizer_config.json", list).chat_template() == "T");
  CHECK(load_with("tokenizer_config.json", "{}").chat_template().empty());
}

TEST_CASE("the fingerprint follows the file") {
  json changed = small_tokenizer();
  changed["model"]["ignore_merges"] = true;
  CHECK(load(small_tokenizer()).fingerprint() == load(small_tokenizer()).fingerprint());
  CHECK(load(changed).fingerprint() != load(small_tokenizer()).fingerprint());
}
