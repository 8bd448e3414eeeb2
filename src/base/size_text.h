#pragma once
#include <fmt/format.h>

#include <cstdint>
#include <string>

namespace tessera {

/// "1.25 GiB", "12.0 MiB".
inline std::string size_text(int64_t bytes) {
  const auto mib = static_cast<double>(bytes) / (1 << 20);
  return mib >= 1024 ? fmt::format("{:.2f} GiB", mib / 1024) : fmt::format("{:.1f} MiB", mib);
}

}  // namespace tessera
