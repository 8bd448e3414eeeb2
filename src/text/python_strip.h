#pragma once
#include <string>
#include <string_view>

namespace tessera {

enum class Side { both, left, right };

/// Python's str.strip, lstrip and rstrip: takes the ASCII `characters` off the ends, or white space where there are
/// none.
std::string python_strip(std::string_view text, std::string_view characters = {}, Side side = Side::both);

}  // namespace tessera
