// What a file from a stranger is held to before it is believed.  Nothing that this program writes uses a link other
// than a hard one, another file for a data set's bytes, or a filter; such a file can only be an attempt to have
// something read that is not in it, or memory asked for that nothing backs.
#include "base/error.h"
#include "base/hdf5_calls.h"

namespace tessera::hdf5 {
namespace {

template <typename... Args>
[[noreturn]] void refuse(const Where& where, fmt::format_string<Args...> format, Args&&... args) {
  throw DataError("{}: {}: {}", where.path.string(), where.object, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace

uint64_t bytes_of_file(const Where& where, hid_t file) {
  hsize_t bytes = 0;
  where.check(H5Fget_filesize(file, &bytes), "the size of the file cannot be read");
  return bytes;
}

void require_hard(const Where& where, const H5L_info_t& link) {
  if (link.type != H5L_TYPE_HARD) refuse(where, "is a link to somewhere else; only what lies in the file is read");
}

void require_stored_plainly(const Where& where, hid_t file, hid_t dataset) {
  const Handle creation = where.handle(H5Dget_create_plist(dataset), H5Pclose, "its layout cannot be read");
  const H5D_layout_t layout = where.check(H5Pget_layout(creation.get()), "its layout cannot be read");
  if (layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED)
    refuse(where, "is stored in a way that this program never uses");
  if (layout == H5D_CONTIGUOUS && where.check(H5Pget_external_count(creation.get()), "its layout cannot be read") != 0)
    refuse(where, "its bytes lie in other files; only what lies in the file is read");
  if (where.check(H5Pget_nfilters(creation.get()), "its filters cannot be read") != 0)
    refuse(where, "is compressed or otherwise filtered, which this program never does");

  const Handle space = where.handle(H5Dget_space(dataset), H5Sclose, "its extent cannot be read");
  const Handle type = where.handle(H5Dget_type(dataset), H5Tclose, "its type cannot be read");
  const auto elements =
      static_cast<uint64_t>(where.check(H5Sget_simple_extent_npoints(space.get()), "its extent cannot be read"));
  const uint64_t element_bytes = H5Tget_size(type.get()), stored = H5Dget_storage_size(dataset);
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(elements, element_bytes, &bytes) || bytes > stored || stored > bytes_of_file(where, file))
    refuse(where, "claims {} elements, for which the file does not have the bytes", elements);
}

}  // namespace tessera::hdf5
