#pragma once
#include <cstddef>
#include <string_view>

/// What every reader of text has to know of UTF-8 (Unicode 15, table 3-7).
namespace tessera::utf8 {

/// Bytes of the character at `at`: positive where it is whole, else minus the bytes of the broken part.
int measure(std::string_view text, size_t at);

/// Is the text well-formed?
bool is_valid(std::string_view text);

}  // namespace tessera::utf8
