#include "base/hdf5_calls.h"

#include "base/error.h"

namespace tessera::hdf5 {
namespace {

std::recursive_mutex& mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}

}  // namespace

Lock::Lock() : lock_(mutex()) {
  // Errors are thrown, not printed; a thread-safe build keeps this setting for each thread.
  thread_local bool quiet = false;
  if (quiet) return;
  // After a failed close (full disk) the library's clean-up at exit would free the same file twice.
  H5dont_atexit();
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  quiet = true;
}

/// The innermost entry of HDF5's error stack: the nearest thing to a reason.  Of a failed read or write it is a list
/// over several lines, with what the system said between quotation marks.
std::string reason() {
  std::string text = "no reason given by HDF5";
  const auto take_first = [](unsigned n, const H5E_error2_t* entry, void* out) -> herr_t {
    if (n == 0 && entry->desc) *static_cast<std::string*>(out) = entry->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_first, &text);
  constexpr std::string_view system = "error message = '";
  const size_t at = text.find(system);
  if (at == std::string::npos) return text;
  const size_t begin = at + system.size();
  return text.substr(begin, text.find('\'', begin) - begin);
}

void fail(const std::filesystem::path& path, const std::string& object, const char* what) {
  throw DataError("{}: {}: {} ({})", path.string(), object, what, reason());
}

hid_t file_type(Type type) {
  switch (type) {
    case Type::uint8:
      return H5T_STD_U8LE;
    case Type::uint16:
      return H5T_STD_U16LE;
    case Type::int32:
      return H5T_STD_I32LE;
    case Type::int64:
      return H5T_STD_I64LE;
    case Type::uint32:
      return H5T_STD_U32LE;
    case Type::uint64:
      return H5T_STD_U64LE;
    case Type::float32:
      return H5T_IEEE_F32LE;
    case Type::float64:
      return H5T_IEEE_F64LE;
  }
  throw std::logic_error("hdf5: no such type");
}

hid_t memory_type(Type type) {
  switch (type) {
    case Type::uint8:
      return H5T_NATIVE_UINT8;
    case Type::uint16:
      return H5T_NATIVE_UINT16;
    case Type::int32:
      return H5T_NATIVE_INT32;
    case Type::int64:
      return H5T_NATIVE_INT64;
    case Type::uint32:
      return H5T_NATIVE_UINT32;
    case Type::uint64:
      return H5T_NATIVE_UINT64;
    case Type::float32:
      return H5T_NATIVE_FLOAT;
    case Type::float64:
      return H5T_NATIVE_DOUBLE;
  }
  throw std::logic_error("hdf5: no such type");
}

Handle simple_space(const Where& where, int64_t count) {
  const auto extent = static_cast<hsize_t>(count);
  return where.handle(H5Screate_simple(1, &extent, nullptr), H5Sclose, "cannot describe its extent");
}

}  // namespace tessera::hdf5
