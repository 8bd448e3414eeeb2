#include "text/tokenize_lines.h"

#include <sstream>

#include "base/error.h"
#include "unit/text/golden.h"

using namespace tessera;
using namespace tessera::test;

namespace {

std::string tokenize(const std::string& input, SpecialTokens special = SpecialTokens::leave_out) {
  const Tokenizer tokenizer = Tokenizer::load(fixture("sentencepiece"));
  std::istringstream in(input);
  std::ostringstream out;
  tokenize_lines(tokenizer, in, out, special);
  return out.str();
}

}  // namespace

TEST_CASE("each line becomes a line of ids and offsets") {
  const auto text = tokenize("\"the stone\"\n\"\"\n");
  std::istringstream lines(text);
  std::string first, second;
  std::getline(lines, first);
  std::getline(lines, second);
  const auto object = nlohmann::json::parse(first);
  CHECK(object["ids"].size() == object["offsets"].size());
  CHECK(object["offsets"].back()[1] == 9);
  CHECK(second == R"({"ids":[],"offsets":[]})");
}

TEST_CASE("special tokens are added where they are asked for") {
  CHECK(tokenize("\"\"\n", SpecialTokens::add) == "{\"ids\":[1],\"offsets\":[[0,0]]}\n");
}

TEST_CASE("a line that is no JSON string is a DataError with its number") {
  const std::string line = GENERATE("stone", "1", "\"open", "", "\"a\" \"b\"");
  CHECK_THROWS_AS(tokenize("\"fine\"\n" + line + "\n"), DataError);
  CHECK_THROWS_WITH(tokenize("\"fine\"\n" + line + "\n"), Catch::Matchers::Contains("line 2"));
}
