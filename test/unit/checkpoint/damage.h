#pragma once
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace tessera::test {

inline std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void put(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

inline void flip_byte(const std::filesystem::path& path, size_t at) {
  std::string bytes = bytes_of(path);
  bytes.at(at) = static_cast<char>(~bytes[at]);
  put(path, bytes);
}

}  // namespace tessera::test
