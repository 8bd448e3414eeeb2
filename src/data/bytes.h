#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

namespace tessera {

/// The bytes of a file, unpacked where its name ends in .gz or .zst.
class ByteReader {
 public:
  virtual ~ByteReader() = default;
  /// Up to `bytes` bytes; 0 only at the end.  Throws DataError where the file is damaged or cut short.
  virtual size_t read(char* out, size_t bytes) = 0;
};

std::unique_ptr<ByteReader> open_bytes(const std::filesystem::path& path);

/// All that is left to read.
std::string read_rest(ByteReader& reader);

}  // namespace tessera
