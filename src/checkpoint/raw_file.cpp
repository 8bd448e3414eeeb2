#include "checkpoint/raw_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace tessera {

RawFile::RawFile(const std::filesystem::path& path, int flags)
    : path_(path), descriptor_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
  if (descriptor_ < 0) fail("cannot be opened");
}

RawFile RawFile::open_read(const std::filesystem::path& path) { return {path, O_RDONLY}; }
RawFile RawFile::open_write(const std::filesystem::path& path) { return {path, O_WRONLY}; }
RawFile RawFile::create(const std::filesystem::path& path) { return {path, O_WRONLY | O_CREAT | O_TRUNC}; }

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

}  // namespace tessera
