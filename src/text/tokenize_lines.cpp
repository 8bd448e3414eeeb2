#include "text/tokenize_lines.h"

#include <fmt/format.h>

#include <iterator>
#include <string>

#include "base/error.h"
#include "base/json.h"

namespace tessera {
namespace {

std::string read_string(const std::string& line, int64_t number) {
  const std::string where = fmt::format("line {} of the input", number);
  const nlohmann::json text = parse_json(line, where);
  if (!text.is_string()) throw DataError("{} is not a JSON string: {}", where, shown(text));
  return text.get<std::string>();
}

}  // namespace

void tokenize_lines(const Tokenizer& tokenizer, std::istream& in, std::ostream& out, SpecialTokens special) {
  std::string line;
  fmt::memory_buffer written;
  for (int64_t number = 1; std::getline(in, line); ++number) {
    const Encoding encoding = tokenizer.encode(read_string(line, number), special);
    written.clear();
    const auto end = std::back_inserter(written);
    fmt::format_to(end, "{{\"ids\":[{}],\"offsets\":[", fmt::join(encoding.ids, ","));
    const char* comma = "";
    for (const auto& [first, last] : encoding.offsets) {
      fmt::format_to(end, "{}[{},{}]", comma, first, last);
      comma = ",";
    }
    fmt::format_to(end, "]}}\n");
    out.write(written.data(), static_cast<std::streamsize>(written.size()));
  }
  out.flush();
  if (!out) throw DataError("the encodings cannot be written: the output is closed or its disk is full");
}

}  // namespace tessera
