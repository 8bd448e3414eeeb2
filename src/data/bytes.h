#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>

namespace tessera {

/// The bytes of a file, unpacked where its name ends in .gz or .zst.
class ByteReader {
 public:
  virtual ~ByteReader() = default;
  /// Up to `bytes` bytes; 0 only at the end.  Throws DataError if the file is damaged or truncated.
  virtual size_t read(char* out, size_t bytes) = 0;
  /// Bytes of the file, packed as it lies there, that went into what was read so far.
  virtual int64_t packed() const = 0;
};

/// Opens a regular file (InputFile).
std::unique_ptr<ByteReader> open_bytes(const std::filesystem::path& path);

}  // namespace tessera
