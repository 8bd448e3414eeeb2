#include "text/python_strip.h"

#include "text/unicode.h"

namespace tessera {
namespace {

/// Python counts the four separators of ASCII as white space as well.
bool is_stripped(char32_t character, std::string_view characters) {
  if (characters.empty()) return unicode::is_white_space(character) || (character >= 0x1C && character <= 0x1F);
  return character < 0x80 && characters.find(static_cast<char>(character)) != std::string_view::npos;
}

}  // namespace

std::string python_strip(std::string_view text, std::string_view characters, Side side) {
  while (side != Side::right && !text.empty()) {
    size_t at = 0;
    if (!is_stripped(unicode::next(text, at), characters)) break;
    text.remove_prefix(at);
  }
  while (side != Side::left && !text.empty()) {
    size_t last = text.size() - 1;
    while (last > 0 && unicode::continues(text[last])) --last;
    size_t at = last;
    if (!is_stripped(unicode::next(text, at), characters)) break;
    text.remove_suffix(text.size() - last);
  }
  return std::string(text);
}

}  // namespace tessera
