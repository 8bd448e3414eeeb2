#pragma once
#include <string>
#include <string_view>

namespace tessera {

/// Translates an Oniguruma pattern (Ruby syntax) to PCRE2, so that it matches the same. Throws DataError, naming
/// `where`, for constructs without a counterpart.
std::string oniguruma_to_pcre2(std::string_view pattern, const std::string& where);

}  // namespace tessera
