#pragma once
#include <filesystem>
#include <mutex>
#include <string>

#include "base/hdf5.h"

/// Shared by the parts of hdf5::File; for hdf5*.cpp only.
namespace tessera::hdf5 {

/// Held during each call of the library.  Recursive: closing a Handle takes it again inside a call that has it.
class Lock {
 public:
  Lock();

 private:
  std::lock_guard<std::recursive_mutex> lock_;
};

/// Throws DataError: file, object, what failed, and the library's reason.
[[noreturn]] void fail(const std::filesystem::path& path, const std::string& object, const char* what);

/// The library's reason for its last failure.
std::string reason();

/// Says what was being done to which object when a call of the library fails.
struct Where {
  const std::filesystem::path& path;
  const std::string& object;

  template <typename Result>
  Result check(Result result, const char* what) const {
    if (result < 0) fail(path, object, what);
    return result;
  }
  Handle handle(hid_t id, herr_t (*close)(hid_t), const char* what) const { return Handle(check(id, what), close); }
};

hid_t file_type(Type type);
hid_t memory_type(Type type);
Handle simple_space(const Where& where, int64_t count);  ///< one-dimensional

uint64_t bytes_of_file(const Where& where, hid_t file);

/// Throws DataError unless the link is a hard link: another one could lead into another file.
void require_hard(const Where& where, const H5L_info_t& link);

/// Throws DataError if the bytes of an open data set lie in other files or behind a filter, or are fewer than its
/// extent claims. Call it before allocating memory for them.
void require_stored_plainly(const Where& where, hid_t file, hid_t dataset);

}  // namespace tessera::hdf5
