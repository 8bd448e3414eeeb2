#include "base/hdf5.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "base/hdf5_calls.h"
#include "base/utf8.h"

namespace tessera::hdf5 {
namespace {

/// File locks fail on network file systems without a lock daemon, and nothing here relies on them.
Handle access_properties(const Where& where) {
  Handle properties = where.handle(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "cannot prepare to open the file");
#if H5_VERSION_GE(1, 10, 7)
  where.check(H5Pset_file_locking(properties.get(), false, true), "cannot prepare to open the file");
#endif
  return properties;
}

Handle creation_access_properties(const Where& where, Layout layout) {
  Handle properties = access_properties(where);
  const H5F_libver_t low = layout == Layout::v18 ? H5F_LIBVER_V18 : H5F_LIBVER_V110;
  where.check(H5Pset_libver_bounds(properties.get(), low, H5F_LIBVER_LATEST), "cannot prepare the file");
  // Small data sets are not put together in blocks: what is allocated last then lies at the end without a gap.
  where.check(H5Pset_small_data_block_size(properties.get(), 0), "cannot prepare the file");
  return properties;
}

/// Properties of a new object of `type` (H5P_DATASET_CREATE, H5P_GROUP_CREATE, H5P_FILE_CREATE) without the time of
/// day, so that equal content gives equal bytes.
Handle creation_properties(const Where& where, hid_t type) {
  Handle properties = where.handle(H5Pcreate(type), H5Pclose, "cannot prepare to create it");
  where.check(H5Pset_obj_track_times(properties.get(), false), "cannot prepare to create it");
  return properties;
}

/// Selects [offset, offset + count) of the data set's space.
Handle selected_space(const Where& where, hid_t dataset, int64_t offset, int64_t count) {
  Handle space = where.handle(H5Dget_space(dataset), H5Sclose, "its extent cannot be read");
  const auto start = static_cast<hsize_t>(offset), length = static_cast<hsize_t>(count);
  where.check(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, &start, nullptr, &length, nullptr),
              "a part of it cannot be selected");
  return space;
}

int64_t extent_of(const Where& where, hid_t space) {
  if (where.check(H5Sget_simple_extent_ndims(space), "its extent cannot be read") != 1)
    throw DataError("{}: {}: is not one-dimensional", where.path.string(), where.object);
  hsize_t extent = 0;
  where.check(H5Sget_simple_extent_dims(space, &extent, nullptr), "its extent cannot be read");
  return static_cast<int64_t>(extent);
}

int64_t offset_of(const Where& where, hid_t dataset) {
  const haddr_t offset = H5Dget_offset(dataset);
  if (offset == HADDR_UNDEF) throw DataError("{}: {}: is not stored contiguously", where.path.string(), where.object);
  return static_cast<int64_t>(offset);
}

void require_type(const Where& where, hid_t dataset, Type type) {
  const Handle stored = where.handle(H5Dget_type(dataset), H5Tclose, "its type cannot be read");
  if (where.check(H5Tequal(stored.get(), file_type(type)), "its type cannot be compared") == 0)
    throw DataError("{}: {}: has an unexpected type", where.path.string(), where.object);
}

Handle creating_groups_above(const Where& where) {
  Handle properties = where.handle(H5Pcreate(H5P_LINK_CREATE), H5Pclose, "cannot prepare to create it");
  where.check(H5Pset_create_intermediate_group(properties.get(), 1), "cannot prepare to create it");
  return properties;
}

Handle create_dataset(const Where& where, hid_t file, hid_t type, hid_t space, hid_t creation) {
  const Handle links = creating_groups_above(where);
  return where.handle(H5Dcreate2(file, where.object.c_str(), type, space, links.get(), creation, H5P_DEFAULT), H5Dclose,
                      "cannot be created");
}

}  // namespace

Handle::Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}

Handle& Handle::operator=(Handle&& other) noexcept {
  std::swap(id_, other.id_);
  std::swap(close_, other.close_);
  return *this;
}

Handle::~Handle() {
  if (id_ < 0) return;
  const Lock lock;
  close_(id_);
}

hid_t Handle::release() { return std::exchange(id_, -1); }

File File::create(const std::filesystem::path& path, Layout layout) {
  make_way(path);
  const Lock lock;
  const Where where{path, "the file"};
  const Handle access = creation_access_properties(where, layout);
  const Handle creation = creation_properties(where, H5P_FILE_CREATE);
  return File(
      path, layout,
      where.handle(H5Fcreate(path.c_str(), H5F_ACC_EXCL, creation.get(), access.get()), H5Fclose, "cannot be created"));
}

File File::open_read(const std::filesystem::path& path, Layout layout) {
  const InputFile regular(path);  // the library would wait for the writer of a pipe
  const Lock lock;
  const Where where{path, "the file"};
  const Handle access = access_properties(where);
  return File(path, layout,
              where.handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose,
                           "cannot be opened as HDF5; is it complete?"));
}

File::~File() = default;

void File::close() {
  const Lock lock;
  const Where where{path_, "the file"};
  datasets_.clear();
  // The handle is let go first: a close that failed half-way must not be tried a second time.
  const hid_t file = file_.release();
  const herr_t flushed = H5Fflush(file, H5F_SCOPE_LOCAL);
  const std::string why = flushed < 0 ? reason() : "";
  const herr_t closed = H5Fclose(file);
  if (flushed < 0) throw DataError("{}: cannot be written: {}", path_.string(), why);
  where.check(closed, "cannot be closed");
}

bool File::exists(const std::string& object) const {
  const Lock lock;
  if (object == "/") return true;
  // HDF5 wants every group on the way to be there before it looks at the last name.
  for (size_t end = object.find('/', 1);; end = object.find('/', end + 1)) {
    if (H5Lexists(file_.get(), object.substr(0, end).c_str(), H5P_DEFAULT) <= 0) return false;
    if (end == std::string::npos) return true;
  }
}

void File::require_own(const std::string& object) const {
  if (object == "/" || own_.contains(object)) return;
  const size_t end = object.rfind('/');
  require_own(end == 0 ? "/" : object.substr(0, end));
  const Where where{path_, object};
  H5L_info_t link;
  where.check(H5Lget_info(file_.get(), object.c_str(), &link, H5P_DEFAULT), "is not there");
  require_hard(where, link);
  own_.insert(object);
}

std::vector<std::string> File::names(const std::string& group) const {
  const Lock lock;
  const Where where{path_, group};
  require_own(group);
  const Handle opened_group =
      where.handle(H5Gopen2(file_.get(), group.c_str(), H5P_DEFAULT), H5Gclose, "this group cannot be opened");
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  where.check(H5Literate(opened_group.get(), H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, add, &names),
              "its members cannot be listed");
  if (!std::all_of(names.begin(), names.end(), utf8::is_valid))
    throw DataError("{}: {}: the name of a member is not UTF-8", path_.string(), group);
  std::sort(names.begin(), names.end());
  return names;
}

void File::create_group(const std::string& group) {
  const Lock lock;
  const Where where{path_, group};
  const Handle links = creating_groups_above(where);
  const Handle creation = creation_properties(where, H5P_GROUP_CREATE);
  const Handle created = where.handle(H5Gcreate2(file_.get(), group.c_str(), links.get(), creation.get(), H5P_DEFAULT),
                                      H5Gclose, "cannot be created");
}

hid_t File::opened(const std::string& dataset) const {
  const auto found = datasets_.find(dataset);
  if (found != datasets_.end()) return found->second.get();
  const Where where{path_, dataset};
  require_own(dataset);
  Handle handle =
      where.handle(H5Dopen2(file_.get(), dataset.c_str(), H5P_DEFAULT), H5Dclose, "this data set cannot be opened");
  require_stored_plainly(where, file_.get(), handle.get());
  return datasets_.emplace(dataset, std::move(handle)).first->second.get();
}

void File::write_raw(const std::string& dataset, Type type, const void* data, int64_t count) {
  const Lock lock;
  const Where where{path_, dataset};
  const Handle space = simple_space(where, count);
  const Handle creation = creation_properties(where, H5P_DATASET_CREATE);
  const Handle created = create_dataset(where, file_.get(), file_type(type), space.get(), creation.get());
  if (count == 0) return;
  where.check(H5Dwrite(created.get(), memory_type(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data), "cannot be written");
}

int64_t File::size(const std::string& dataset) const {
  const Lock lock;
  const Where where{path_, dataset};
  const Handle space = where.handle(H5Dget_space(opened(dataset)), H5Sclose, "its extent cannot be read");
  return extent_of(where, space.get());
}

int64_t File::element_bytes(const std::string& dataset) const {
  const Lock lock;
  const Where where{path_, dataset};
  const Handle stored = where.handle(H5Dget_type(opened(dataset)), H5Tclose, "its type cannot be read");
  const size_t bytes = H5Tget_size(stored.get());
  if (bytes == 0) fail(path_, dataset, "the size of its type cannot be read");
  return static_cast<int64_t>(bytes);
}

void File::read_raw(const std::string& dataset, Type type, int64_t offset, int64_t count, void* out) const {
  const Lock lock;
  const Where where{path_, dataset};
  const hid_t id = opened(dataset);
  require_type(where, id, type);
  const int64_t extent = size(dataset);
  if (offset < 0 || count < 0 || count > extent || offset > extent - count)
    throw DataError("{}: {}: elements {} to {} requested, but it has {}", path_.string(), dataset, offset,
                    offset + count, extent);
  if (count == 0) return;
  const Handle stored = selected_space(where, id, offset, count), memory = simple_space(where, count);
  where.check(H5Dread(id, memory_type(type), memory.get(), stored.get(), H5P_DEFAULT, out), "cannot be read");
}

void File::flush() {
  const Lock lock;
  const std::string whole = "the file";
  const Where where{path_, whole};
  where.check(H5Fflush(file_.get(), H5F_SCOPE_LOCAL), "cannot be written");
}

void File::create_contiguous(const std::string& dataset, Type type, int64_t count) {
  const Lock lock;
  const Where where{path_, dataset};
  const Handle space = simple_space(where, count);
  const Handle creation = creation_properties(where, H5P_DATASET_CREATE);
  where.check(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_LATE), "cannot prepare to create it");
  where.check(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER), "cannot prepare to create it");
  datasets_[dataset] = create_dataset(where, file_.get(), file_type(type), space.get(), creation.get());
}

int64_t File::allocate(const std::string& dataset) {
  const Lock lock;
  const Where where{path_, dataset};
  const hid_t id = opened(dataset);
  const Handle type = where.handle(H5Dget_type(id), H5Tclose, "its type cannot be read");
  const Handle first = selected_space(where, id, 0, 1), memory = simple_space(where, 1);
  const uint64_t zero = 0;  // writing any element is what makes the library allocate all of them
  where.check(H5Dwrite(id, type.get(), memory.get(), first.get(), H5P_DEFAULT, &zero), "cannot be given its room");
  return offset_of(where, id);
}

int64_t File::byte_offset(const std::string& dataset, Type type) const {
  const Lock lock;
  const Where where{path_, dataset};
  const hid_t id = opened(dataset);
  require_type(where, id, type);
  return offset_of(where, id);
}

void File::create_growing(const std::string& dataset, Type type, int64_t chunk) {
  const Lock lock;
  const Where where{path_, dataset};
  const hsize_t empty = 0, unlimited = H5S_UNLIMITED, chunk_extent = static_cast<hsize_t>(chunk);
  const Handle space = where.handle(H5Screate_simple(1, &empty, &unlimited), H5Sclose, "cannot describe its extent");
  const Handle creation = creation_properties(where, H5P_DATASET_CREATE);
  where.check(H5Pset_chunk(creation.get(), 1, &chunk_extent), "cannot be given this chunk size");
  datasets_[dataset] = create_dataset(where, file_.get(), file_type(type), space.get(), creation.get());
}

void File::append_raw(const std::string& dataset, Type type, const void* data, int64_t count) {
  const Lock lock;
  if (count == 0) return;
  const Where where{path_, dataset};
  const hid_t id = opened(dataset);
  require_type(where, id, type);
  const int64_t before = size(dataset);
  const hsize_t after = static_cast<hsize_t>(before) + static_cast<hsize_t>(count);
  where.check(H5Dset_extent(id, &after), "cannot grow");
  const Handle stored = selected_space(where, id, before, count), memory = simple_space(where, count);
  where.check(H5Dwrite(id, memory_type(type), memory.get(), stored.get(), H5P_DEFAULT, data), "cannot be written");
}

}  // namespace tessera::hdf5
