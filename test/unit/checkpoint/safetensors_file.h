#pragma once
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "unit/checkpoint/damage.h"

namespace tessera::test {

/// A safetensors file from a header's text and data bytes, whatever nonsense they are.
inline void put_safetensors(const std::filesystem::path& path, const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  put(path, bytes + header + data);
}

template <typename T>
std::string raw_bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

}  // namespace tessera::test
