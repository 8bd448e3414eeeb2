#pragma once
#include <string>
#include <string_view>

namespace tessera {

/// An Oniguruma pattern (Ruby syntax) as PCRE2 must be given it, to match the same.  Throws DataError, naming `where`,
/// for what has no counterpart.
std::string oniguruma_to_pcre2(std::string_view pattern, const std::string& where);

}  // namespace tessera
