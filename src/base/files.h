#pragma once
#include <filesystem>
#include <string>
#include <string_view>

/// Files that other processes may look at while they change.  What is not said otherwise throws DataError with the
/// path and the system's reason.
namespace tessera {

std::string read_text(const std::filesystem::path& path);

/// Writes to a temporary name beside `path`, syncs it, renames it, syncs the folder: a reader sees the old text or the
/// new.
void write_text_durably(const std::filesystem::path& path, std::string_view text);

/// Makes the directory where it is not there yet.  Throws JobError that begins with `setting`, the "[section] key" that
/// names it, where that fails or nothing can be written into it.
void make_directory(const std::filesystem::path& directory, std::string_view setting);

/// Can `path` be made, directories before it included?  Makes nothing.  Throws JobError as make_directory().
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
