#include "base/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

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

void require_writable(const std::filesystem::path& directory, const std::filesystem::path& wanted,
                      std::string_view setting) {
  std::error_code error;
  if (!std::filesystem::is_directory(directory, error)) error = std::make_error_code(std::errc::not_a_directory);
  if (!error && ::access(directory.c_str(), W_OK | X_OK) != 0) error.assign(errno, std::generic_category());
  if (error) throw JobError("{}: {} cannot be written to: {}", setting, wanted.string(), error.message());
}

}  // namespace

std::string read_text(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) throw DataError("{}: is a directory, not a file", path.string());
  std::ifstream file(path, std::ios::binary);
  if (!file) throw DataError("{}: cannot be opened for reading: {}", path.string(), std::strerror(errno));
  std::ostringstream text;
  text << file.rdbuf();
  if (file.bad()) throw DataError("{}: reading failed", path.string());
  return std::move(text).str();
}

void write_text_durably(const std::filesystem::path& path, std::string_view text) {
  const std::filesystem::path temporary = path.string() + ".tmp";
  {
    const Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC, "for writing");
    write_all(file.get(), text, temporary);
    sync(file.get(), temporary);
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0)
    throw DataError("{}: cannot be renamed to {}: {}", temporary.string(), path.string(), std::strerror(errno));
  sync_folder(path.has_parent_path() ? path.parent_path() : ".");
}

void make_directory(const std::filesystem::path& directory, std::string_view setting) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw JobError("{}: {} cannot be written to: {}", setting, directory.string(), error.message());
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
