#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

/// GPT-2's alphabet: every byte written as one printable character, so that "Ġthe" is " the" (Radford et al. 2019).
namespace tessera::byte_alphabet {

/// The character that stands for `byte`: itself where it prints, else U+0100 onwards in turn.
constexpr std::array<uint16_t, 256> characters = [] {
  std::array<uint16_t, 256> table{};
  uint16_t free = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool prints = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    table[byte] = prints ? static_cast<uint16_t>(byte) : free++;
  }
  return table;
}();

constexpr char32_t space = characters[' '];  // Ġ

/// Bytes of that character in UTF-8.
constexpr int length(unsigned char byte) { return characters[byte] < 0x80 ? 1 : 2; }

/// The bytes written in the alphabet, appended to `text`.
void write(std::string_view bytes, std::string& text);

/// The bytes that `token` stands for, appended to `bytes`; false, and nothing appended, where it holds another
/// character.
bool read(std::string_view token, std::string& bytes);

}  // namespace tessera::byte_alphabet
