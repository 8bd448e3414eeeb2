#include "base/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"

namespace tessera {
namespace {

class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags, const char* purpose)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (fd_ < 0) throw DataError("{}: cannot be opened {}: {}", path.string(), purpose, std::strerror(errno));
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

void write_all(int fd, std::string_view text, const std::filesystem::path& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw DataError("{}: writing failed: {}", path.string(), std::strerror(errno));
    text.remove_prefix(static_cast<size_t>(written));
  }
}

void sync(int fd, const std::filesystem::path& path) {
  if (::fsync(fd) != 0 && errno != EINVAL) throw DataError("{}: fsync failed: {}", path.string(), std::strerror(errno));
}

/// What stands at the path, behind its links; not_found for nothing.
std::filesystem::file_type type_at(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::none)
    throw DataError("{}: cannot be examined: {}", path.string(), error.message());
  return status.type();
}

const char* kind_of(mode_t mode) {
  return S_ISDIR(mode) ? "a directory" : S_ISFIFO(mode) ? "a pipe" : S_ISSOCK(mode) ? "a socket" : "a device";
}

void require_writable(const std::filesystem::path& directory, const std::filesystem::path& wanted,
                      std::string_view setting) {
  std::error_code error;
  if (!std::filesystem::is_directory(directory, error)) error = std::make_error_code(std::errc::not_a_directory);
  if (!error && ::access(directory.c_str(), W_OK | X_OK) != 0) error.assign(errno, std::generic_category());
  if (error) throw JobError("{}: {} is not writable: {}", setting, wanted.string(), error.message());
}

}  // namespace

bool is_there(const std::filesystem::path& path) { return type_at(path) != std::filesystem::file_type::not_found; }

bool is_folder(const std::filesystem::path& path) { return type_at(path) == std::filesystem::file_type::directory; }

InputFile::InputFile(const std::filesystem::path& path) : path_(path) {
  if (path.native().find('\0') != std::string::npos)
    throw DataError("{}: cannot be opened: the name contains a zero byte", path.c_str());
  // O_NONBLOCK: opening a pipe without a writer would block.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (descriptor_ < 0) fail("cannot be opened for reading");
  try {
    struct stat status;
    if (::fstat(descriptor_, &status) != 0) fail("cannot be looked at");
    if (!S_ISREG(status.st_mode))
      throw DataError("{}: is {}, not a regular file", path_.string(), kind_of(status.st_mode));
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

std::filesystem::file_type type_of(const std::filesystem::path& path) {
  std::error_code unknown;
  return std::filesystem::symlink_status(path, unknown).type();
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

void InputFile::fail(const char* what) const {
  throw DataError("{}: {}: {}", path_.string(), what, std::strerror(errno));
}

int64_t InputFile::size() const {
  struct stat status;
  if (::fstat(descriptor_, &status) != 0) fail("its size cannot be read");
  return status.st_size;
}

int64_t InputFile::read(void* out, int64_t bytes) {
  while (true) {
    const ssize_t got = ::read(descriptor_, out, static_cast<size_t>(bytes));
    if (got >= 0) return got;
    if (errno != EINTR) fail("cannot be read");
  }
}

int InputFile::release() { return std::exchange(descriptor_, -1); }

std::string read_text(const std::filesystem::path& path, int64_t max_bytes) {
  InputFile file(path);
  std::string text;
  std::vector<char> block(1 << 17);
  while (const int64_t got = file.read(block.data(), static_cast<int64_t>(block.size()))) {
    text.append(block.data(), static_cast<size_t>(got));
    if (static_cast<int64_t>(text.size()) > max_bytes)
      throw DataError("{}: is larger than {} bytes, the limit for such a file", path.string(), max_bytes);
  }
  return text;
}

void make_way(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    throw DataError("{}: exists and cannot be removed: {}", path.string(), std::strerror(errno));
}

void write_text_durably(const std::filesystem::path& path, std::string_view text) {
  const std::filesystem::path temporary = path.string() + ".tmp";
  make_way(temporary);
  try {
    const Descriptor file(temporary, O_WRONLY | O_CREAT | O_EXCL, "for writing");
    write_all(file.get(), text, temporary);
    sync(file.get(), temporary);
    if (std::rename(temporary.c_str(), path.c_str()) != 0)
      throw DataError("{}: cannot be renamed to {}: {}", temporary.string(), path.string(), std::strerror(errno));
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder(path.has_parent_path() ? path.parent_path() : ".");
}

void make_directory(const std::filesystem::path& directory, std::string_view setting) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw JobError("{}: {} is not writable: {}", setting, directory.string(), error.message());
  require_writable(directory, directory, setting);
}

void require_place(const std::filesystem::path& path, std::string_view setting) {
  std::filesystem::path there = std::filesystem::absolute(path);
  std::error_code not_there;  // or below a file: then that one is found and refused
  while (!std::filesystem::exists(there, not_there) && there.has_relative_path()) there = there.parent_path();
  require_writable(there, path, setting);
}

void sync_file(const std::filesystem::path& path) { sync(Descriptor(path, O_RDONLY, "to be synced").get(), path); }

void sync_folder(const std::filesystem::path& path) {
  sync(Descriptor(path, O_RDONLY | O_DIRECTORY, "to be synced").get(), path);
}

FileLock::FileLock(const std::filesystem::path& path, Wait wait, const std::string& busy_message) {
  Descriptor file(path, O_RDWR | O_CREAT, "as a lock");
  while (::flock(file.get(), LOCK_EX | (wait == Wait::no ? LOCK_NB : 0)) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) throw JobError("{}", busy_message);
    throw DataError("{}: cannot be locked: {}", path.string(), std::strerror(errno));
  }
  descriptor_ = file.release();
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

FileLock::FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

}  // namespace tessera
