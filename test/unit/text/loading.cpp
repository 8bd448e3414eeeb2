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

TEST_CASE("a file that is not there is a DataError that names it") {
  CHECK_THROWS_WITH(Tokenizer::load(TemporaryFolder().path()), Contains("/tokenizer.json"));
  CHECK_THROWS_AS(Tokenizer::load("/nowhere"), JobError);
  CHECK_THROWS_WITH(Tokenizer::load("/nowhere"), Contains("/nowhere: there is no such directory"));
}

TEST_CASE("a file that is cut off is a DataError that names it") {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", small_tokenizer().dump().substr(0, 300));
  CHECK_THROWS_AS(Tokenizer::load(folder.path()), DataError);
  CHECK_THROWS_WITH(Tokenizer::load(folder.path()), Contains("tokenizer.json") && Contains("not a whole JSON"));
}

TEST_CASE("what a file asks for and is not known is a DataError that names it") {
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

TEST_CASE("a pattern that cannot be run as it is meant is a DataError") {
  const std::string pattern = GENERATE("[a&&b]", "(?m:a)", "\\bword", "\\G", "(", "[[:alpha:]]");
  CHECK_THAT(error_of([&](json& d) {
               d["pre_tokenizer"] = {
                   {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
             }),
             Contains("tokenizer.json") && Contains(pattern));
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
