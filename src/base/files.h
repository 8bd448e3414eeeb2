#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

/// Files that other processes may look at while they change, and that strangers may have made.  What is not said
/// otherwise throws DataError with the path and the system's reason.
namespace tessera {

/// Is there anything at the path, behind its symbolic links; is it a folder?  Throws where that cannot be known: a loop
/// of links, a name that is too long, a folder that may not be searched.
bool is_there(const std::filesystem::path& path);
bool is_folder(const std::filesystem::path& path);
/// What stands at the path itself, a link being one; `none` where that cannot be known.
std::filesystem::file_type type_of(const std::filesystem::path& path);

/// A regular file, opened for reading: the one way to open an input.  Anything else that stands at the path is an error
/// at once: a pipe, which would wait for a writer, a device, a folder, a loop of links.
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
  int release();  ///< the descriptor, for whoever closes it from here on

 private:
  [[noreturn]] void fail(const char* what) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
};

constexpr int64_t max_text_bytes = 1LL << 30;
std::string read_text(const std::filesystem::path& path, int64_t max_bytes = max_text_bytes);

/// Removes the file or the symbolic link that stands at the path, if there is one, so that a new file can be created
/// there: what a link leads to is never written over.
void make_way(const std::filesystem::path& path);

/// Writes to a temporary name beside `path`, syncs it, renames it, syncs the folder: a reader sees the old text or the
/// new.  Links that stand at either name are replaced, not followed; what fails leaves no temporary file.
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
