#include "base/json.h"

#include <catch2/catch.hpp>

#include "base/error.h"
#include "support/temporary_folder.h"

using namespace tessera;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using nlohmann::json;

namespace {

std::string nested(const std::string& open, size_t levels, const std::string& close) {
  std::string text;
  for (size_t i = 0; i < levels; ++i) text += open;
  text += "1";
  for (size_t i = 0; i < levels; ++i) text += close;
  return text;
}

}  // namespace

TEST_CASE("a document is read as nlohmann reads it") {
  const std::string text =
      R"({"b": [1, -2, 2.5, null, true, "ä\n"], "a": {"x": [], "y": {}}, "b2": 18446744073709551615})";
  CHECK(parse_json(text, "f") == json::parse(text));
  CHECK(parse_ordered_json(text, "f").dump() == nlohmann::ordered_json::parse(text).dump());
}

TEST_CASE("nesting deeper than any real file's is refused at once, closed or not") {
  const auto bound = static_cast<size_t>(max_json_depth);
  CHECK_NOTHROW(parse_json(nested("[", bound, "]"), "f"));
  CHECK_NOTHROW(parse_ordered_json(nested("{\"a\":", bound, "}"), "f"));
  for (const size_t levels : {bound + 1, size_t{200'000}})
    for (const std::string& text :
         {nested("[", levels, "]"), nested("{\"a\":", levels, "}"), std::string(levels, '[')}) {
      CHECK_THROWS_WITH(parse_json(text, "config.json"), StartsWith("config.json: ") && Contains("nested deeper"));
      CHECK_THROWS_AS(parse_ordered_json(text, "config.json"), DataError);
    }
}

TEST_CASE("a document of endless values is refused before it fills the memory") {
  std::string text = "[";
  for (int64_t i = 0; i <= max_json_values; ++i) text += "0,";
  CHECK_THROWS_WITH(parse_json(text, "index.json"), StartsWith("index.json: ") && Contains("values"));
}

TEST_CASE("broken JSON and numbers that no double holds are DataErrors with the file") {
  for (const char* text : {"", "{", "{\"a\": 1e999}", "[-1e400]", "{\"a\": \"\xff\"}", "nul", "[1] 2", "\"\x01\""})
    CHECK_THROWS_WITH(parse_json(text, "config.json"), StartsWith("config.json: ") && !Contains("json.exception"));
}

TEST_CASE("a message about broken JSON stays short") {
  const std::string text = "[1 \"" + std::string(1 << 20, 'x') + "\"]";
  try {
    parse_json(text, "f");
    FAIL("it was read");
  } catch (const DataError& error) {
    CHECK(std::string(error.what()).size() < 300);
  }
}

TEST_CASE("exceptions of events propagate through the parser") {
  struct Refusing : nlohmann::json_sax<json> {
    bool null() override { throw DataError("no null here"); }
    bool boolean(bool) override { return true; }
    bool number_integer(number_integer_t) override { return true; }
    bool number_unsigned(number_unsigned_t) override { return true; }
    bool number_float(number_float_t, const string_t&) override { return true; }
    bool string(string_t&) override { return true; }
    bool binary(binary_t&) override { return true; }
    bool start_object(size_t) override { return true; }
    bool key(string_t&) override { return true; }
    bool end_object() override { return true; }
    bool start_array(size_t) override { return true; }
    bool end_array() override { return true; }
    bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }
  } events;
  CHECK_NOTHROW(parse_json("[1]", "f", events));
  CHECK_THROWS_WITH(parse_json("[null]", "f", events), "no null here");
}

TEST_CASE("a file's errors name the file") {
  const test::TemporaryFolder folder;
  CHECK_THROWS_WITH(read_json(folder / "config.json"), Contains("config.json") && Contains("No such file"));
}

TEST_CASE("a value is shown whole where it is short, and cut off where it is not") {
  for (const char* text : {"null", "-1", "2.5", "\"a\\nb\"", "[1,{\"k\":[]}]", "{}"})
    CHECK(shown(json::parse(text)) == text);
  const json texts = std::string(100'000, 'x'), list = json::array({texts, texts}),
             object = {{std::string(200, 'k'), 1}};
  for (const json& value : {texts, list, object, json(std::vector<int>(100'000, 7))}) {
    CHECK(shown(value).size() < 100);
    CHECK_THAT(shown(value), Catch::Matchers::EndsWith("…"));
  }
  std::string wide;
  for (int i = 0; i < 100; ++i) wide += "ä";
  CHECK_NOTHROW(json(shown(wide)).dump());  // cut between characters
}

TEST_CASE("a value of any depth is shown without recursing to its bottom") {
  json deep = 1;
  for (int i = 0; i < 200'000; ++i) deep = json::array({std::move(deep)});
  CHECK(shown(deep).size() < 100);
}

TEST_CASE("a whole number is one that 64 bits hold") {
  CHECK(whole_number(json::parse("-7")) == -7);
  CHECK(whole_number(json::parse("9223372036854775807")) == INT64_MAX);
  for (const char* text : {"9223372036854775808", "1.5", "1.0", "\"1\"", "null", "true", "[1]"})
    CHECK_FALSE(whole_number(json::parse(text)));
}
