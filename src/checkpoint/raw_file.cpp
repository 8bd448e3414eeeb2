#include "checkpoint/raw_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"

namespace tessera {

RawFile::RawFile(const std::filesystem::path& path, int descriptor) : path_(path), descriptor_(descriptor) {
  if (descriptor_ < 0) fail("cannot be opened");
}

RawFile RawFile::open_read(const std::filesystem::path& path) { return {path, InputFile(path).release()}; }

RawFile RawFile::open_write(const std::filesystem::path& path) {
  return {path, ::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC)};
}

RawFile RawFile::create(const std::filesystem::path& path) {
  make_way(path);
  return {path, ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)};
}

RawFile::RawFile(RawFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

RawFile::~RawFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void RawFile::fail(const char* what) const {
  throw DataError("{}: {}: {}", path_.string(), what, std::strerror(errno));
}

int64_t RawFile::size() const {
  struct stat status;
  if (::fstat(descriptor_, &status) != 0) fail("its size cannot be read");
  return status.st_size;
}

void RawFile::read(int64_t offset, void* out, int64_t bytes) const {
  auto* to = static_cast<char*>(out);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor_, to, static_cast<size_t>(bytes), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot be read");
    if (got == 0) throw DataError("{}: ends at byte {}, {} more were expected", path_.string(), offset, bytes);
    to += got;
    offset += got;
    bytes -= got;
  }
}

void RawFile::write(int64_t offset, const void* data, int64_t bytes) {
  auto* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::pwrite(descriptor_, from, static_cast<size_t>(bytes), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("cannot be written");
    from += written;
    offset += written;
    bytes -= written;
  }
}

void RawFile::sync_and_close() {
  if (::fsync(descriptor_) != 0) fail("cannot be synced");
  if (::close(std::exchange(descriptor_, -1)) != 0) fail("cannot be closed");
}

uint64_t xxh3_of_beginning(const RawFile& file, int64_t bytes) {
  constexpr int64_t piece_bytes = 1 << 20;
  std::vector<char> piece(static_cast<size_t>(std::clamp<int64_t>(bytes, 1, piece_bytes)));
  Hasher hasher;
  for (int64_t at = 0; at < bytes; at += piece_bytes) {
    const int64_t now = std::min(piece_bytes, bytes - at);
    file.read(at, piece.data(), now);
    hasher.update(piece.data(), static_cast<size_t>(now));
  }
  return hasher.digest();
}

}  // namespace tessera
