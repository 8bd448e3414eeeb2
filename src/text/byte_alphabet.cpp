#include "text/byte_alphabet.h"

#include "text/unicode.h"

namespace tessera::byte_alphabet {
namespace {

constexpr int no_byte = -1;
constexpr std::array<int16_t, 0x144> bytes_of_characters = [] {
  std::array<int16_t, 0x144> table{};
  for (auto& byte : table) byte = no_byte;
  for (int byte = 0; byte < 256; ++byte) table[characters[byte]] = static_cast<int16_t>(byte);
  return table;
}();

}  // namespace

void write(std::string_view bytes, std::string& text) {
  for (const char byte : bytes) {
    const uint16_t code = characters[static_cast<unsigned char>(byte)];
    if (code < 0x80) {
      text += static_cast<char>(code);
    } else {
      text += static_cast<char>(0xC0 | code >> 6);
      text += static_cast<char>(0x80 | (code & 0x3F));
    }
  }
}

bool read(std::string_view token, std::string& bytes) {
  const size_t before = bytes.size();
  for (size_t at = 0; at < token.size();) {
    const char32_t character = unicode::next(token, at);
    const int byte = character < bytes_of_characters.size() ? bytes_of_characters[character] : no_byte;
    if (byte == no_byte) {
      bytes.resize(before);
      return false;
    }
    bytes += static_cast<char>(byte);
  }
  return true;
}

}  // namespace tessera::byte_alphabet
