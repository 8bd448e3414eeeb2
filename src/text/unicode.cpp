#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/utf8.h"

namespace tessera::unicode {
namespace {

constexpr std::string_view replacement_character = "\xEF\xBF\xBD";

unsigned byte_at(std::string_view text, size_t at) { return static_cast<unsigned char>(text[at]); }

}  // namespace

char32_t next(std::string_view text, size_t& at) {
  const unsigned first = byte_at(text, at);
  if (first < 0x80) {
    ++at;
    return first;
  }
  const int bytes = bytes_of(text[at]);
  char32_t code = first & (0xFF >> (bytes + 1));
  for (int i = 1; i < bytes; ++i) code = code << 6 | (byte_at(text, at + i) & 0x3F);
  at += bytes;
  return code;
}

void append(std::string& text, char32_t character) {
  utf8proc_uint8_t bytes[4];
  const auto count = utf8proc_encode_char(static_cast<utf8proc_int32_t>(character), bytes);
  text.append(reinterpret_cast<const char*>(bytes), count);
}

int64_t count(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char byte) { return !continues(byte); });
}

std::string replace_broken(std::string_view text, std::vector<uint32_t>* source) {
  std::string whole;
  whole.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const int bytes = utf8::measure(text, at);
    const std::string_view part = bytes > 0 ? text.substr(at, bytes) : replacement_character;
    whole += part;
    if (source) {
      for (size_t i = 0; i < part.size(); ++i) source->push_back(static_cast<uint32_t>(bytes > 0 ? at + i : at));
    }
    at += std::abs(bytes);
  }
  if (source) source->push_back(static_cast<uint32_t>(text.size()));
  return whole;
}

bool is_white_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_numeric(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_NO;
}

}  // namespace tessera::unicode
