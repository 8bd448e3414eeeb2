#include "base/utf8.h"

#include <cstdint>
#include <cstring>

namespace tessera::utf8 {
namespace {

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

}  // namespace tessera::utf8
