#pragma once
#include <cstdint>
#include <filesystem>

namespace tessera {

/// A file read and written at offsets (pread, pwrite).  Every failure, also a full disk that only shows when the file
/// is synced or closed, is a DataError with the path and the system's reason.
class RawFile {
 public:
  static RawFile open_read(const std::filesystem::path& path);   ///< as InputFile does
  static RawFile open_write(const std::filesystem::path& path);  ///< an existing file, kept as it is; no link
  static RawFile create(const std::filesystem::path& path);      ///< a new one in place of the file or link there
  ~RawFile();                                                    ///< closes without reporting
  RawFile(RawFile&& other) noexcept;
  RawFile& operator=(RawFile&&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int64_t size() const;
  void read(int64_t offset, void* out, int64_t bytes) const;  ///< throws where the file ends before
  void write(int64_t offset, const void* data, int64_t bytes);
  void sync_and_close();

 private:
  RawFile(const std::filesystem::path& path, int descriptor);  ///< negative: throws, with errno as the reason
  [[noreturn]] void fail(const char* what) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
};

/// XXH3-64 of the first `bytes` bytes, read in pieces.
uint64_t xxh3_of_beginning(const RawFile& file, int64_t bytes);

}  // namespace tessera
