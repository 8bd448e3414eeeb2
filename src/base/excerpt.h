#pragma once
#include <string>
#include <string_view>

namespace tessera {

/// The beginning of a UTF-8 text, for a message: cut between characters after about `bytes` bytes, with " …".
inline std::string excerpt(std::string_view text, size_t bytes = 80) {
  if (text.size() <= bytes) return std::string(text);
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) --bytes;
  return std::string(text.substr(0, bytes)) + " …";
}

}  // namespace tessera
