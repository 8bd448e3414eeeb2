#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// UTF-8 and the character classes that tokenizer files rely on.
namespace tessera::unicode {

/// Bytes of the UTF-8 character that begins with `first`.
inline int bytes_of(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}
inline bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

/// The character at `at` of valid UTF-8; moves `at` behind it.
char32_t next(std::string_view text, size_t& at);
void append(std::string& text, char32_t character);
int64_t count(std::string_view text);  ///< characters of valid UTF-8

/// `text` with every maximal broken part replaced by U+FFFD (Unicode 15, section 3.9, as browsers and Rust do).
/// `source`, where given: the byte of `text` that each byte of the result stands for, and one more for the end.
std::string replace_broken(std::string_view text, std::vector<uint32_t>* source = nullptr);

bool is_white_space(char32_t character);  ///< the property White_Space
bool is_numeric(char32_t character);      ///< general category Nd, Nl or No

}  // namespace tessera::unicode
