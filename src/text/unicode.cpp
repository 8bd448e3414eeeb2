#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>

namespace tessera::unicode {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

unsigned byte_at(std::string_view text, size_t at) { return static_cast<unsigned char>(text[at]); }

/// The lowest and highest second byte that may follow `first`, and how many bytes the character has; 0 for none.
struct Lead {
  int bytes;
  unsigned low, high;
};
Lead lead_of(unsigned first) {
  if (first >= 0xC2 && first <= 0xDF) return {2, 0x80, 0xBF};
  if (first == 0xE0) return {3, 0xA0, 0xBF};
  if (first == 0xED) return {3, 0x80, 0x9F};
  if (first >= 0xE1 && first <= 0xEF) return {3, 0x80, 0xBF};
  if (first == 0xF0) return {4, 0x90, 0xBF};
  if (first >= 0xF1 && first <= 0xF3) return {4, 0x80, 0xBF};
  if (first == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

/// Bytes of the character at `at`: positive where it is whole, else minus the bytes of the broken part.
int measure(std::string_view text, size_t at) {
  const unsigned first = byte_at(text, at);
  if (first < 0x80) return 1;
  const Lead lead = lead_of(first);
  if (lead.bytes == 0) return -1;
  for (int i = 1; i < lead.bytes; ++i) {
    if (at + i >= text.size()) return -i;
    const unsigned byte = byte_at(text, at + i);
    const bool fits = i == 1 ? byte >= lead.low && byte <= lead.high : (byte & 0xC0) == 0x80;
    if (!fits) return -i;
  }
  return lead.bytes;
}

/// The first position from `at` on that is not the start of eight ASCII bytes.
size_t skip_ascii(std::string_view text, size_t at) {
  uint64_t eight;
  for (; at + sizeof eight <= text.size(); at += sizeof eight) {
    std::memcpy(&eight, text.data() + at, sizeof eight);
    if (eight & 0x8080808080808080u) break;
  }
  return at;
}

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

bool is_valid(std::string_view text) {
  size_t at = skip_ascii(text, 0);
  while (at < text.size()) {
    const int bytes = measure(text, at);
    if (bytes < 0) return false;
    at += bytes;
    if (bytes == 1) at = skip_ascii(text, at);
  }
  return true;
}

std::string replace_broken(std::string_view text, std::vector<uint32_t>* source) {
  std::string whole;
  whole.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const int bytes = measure(text, at);
    const std::string_view part = bytes > 0 ? text.substr(at, bytes) : kReplacement;
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
