#pragma once
#include <cstdlib>

namespace tessera {

/// Does the environment have this variable?
inline bool is_set(const char* variable) { return std::getenv(variable) != nullptr; }

}  // namespace tessera
