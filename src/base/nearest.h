#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// The least number of characters to insert, delete or replace to turn `a` into `b`.  Levenshtein 1966.
int64_t edit_distance(std::string_view a, std::string_view b);

/// The name with the least edit distance to `word`, the first of equals.  `names` holds at least one.
std::string nearest(std::string_view word, const std::vector<std::string>& names);

}  // namespace tessera
