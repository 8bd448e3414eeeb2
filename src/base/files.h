#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

/// Files that other processes may read while they change, and that may be untrusted. Unless stated otherwise, failures
/// throw DataError with the path and the system's reason.
namespace tessera {

/// Does the path exist, with symbolic links followed; is it a folder? Throws if that cannot be determined: a loop of
/// links, a name that is too long, a folder without permission.
bool is_there(const std::filesystem::path& path);
bool is_folder(const std::filesystem::path& path);
/// The type of the path itself, without following a link; `none` if it cannot be determined.
std::filesystem::file_type type_of(const std::filesystem::path& path);

/// A regular file, opened for reading: the one way to open an input.  Anything else is an error at once: a pipe (which
/// would wait for a writer), a device, a folder, a loop of links.
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int64_t size() const;
  /// Up to `bytes` of what follows; 0 only at the end.
  int64_t read(void* out, int64_t bytes);
  int release();  ///< the descriptor; the caller closes it

 private:
  [[noreturn]] void fail(const char* what) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
};

constexpr int64_t max_text_bytes = 1LL << 30;
std::string read_text(const std::filesystem::path& path, int64_t max_bytes = max_text_bytes);

/// Removes the file or symbolic link at the path, if any, so that a new file can be created there: the target of a link
/// is never overwritten.
void make_way(const std::filesystem::path& path);

/// Writes to a temporary name beside `path`, syncs it, renames it, syncs the folder: a reader sees the old text or the
/// new one. Links at either name are replaced, not followed; a failure leaves no temporary file.
void write_text_durably(const std::filesystem::path& path, std::string_view text);

/// Creates the directory if it does not exist. Throws JobError that begins with `setting`, the "[section] key" of the
/// directory, if that fails or the directory is not writable.
void make_directory(const std::filesystem::path& directory, std::string_view setting);

/// Throws JobError, as make_directory() does, if `path` and the directories above it cannot be created. Creates
/// nothing.
void require_place(const std::filesystem::path& path, std::string_view setting);

void sync_file(const std::filesystem::path& path);    ///< fsync
void sync_folder(const std::filesystem::path& path);  ///< fsync of the directory entry list

/// A lock on a file that dies with its owner (flock): holds until destroyed.
class FileLock {
 public:
  enum class Wait { no, yes };
  /// Wait::no: throws JobError (`busy_message`) when another process holds it.
  FileLock(const std::filesystem::path& path, Wait wait, const std::string& busy_message = {});
  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace tessera
