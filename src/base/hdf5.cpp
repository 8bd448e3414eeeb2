#include "base/hdf5.h"

#include <algorithm>
#include <memory>
#include <mutex>

#include "base/error.h"
#include "base/files.h"

namespace tessera::hdf5 {
namespace {

/// Held by whoever calls the library.  Recursive: closing a Handle takes it again inside a call that has it.
class Lock {
 public:
  Lock() : lock_(mutex()) {
    // Errors are thrown, not printed; a thread-safe build keeps this setting for each thread.
    thread_local bool quiet = false;
    if (quiet) return;
    // After a failed close (full disk) the library's clean-up at exit would free the same file twice.
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    quiet = true;
  }

 private:
  static std::recursive_mutex& mutex() {
    static std::recursive_mutex mutex;
    return mutex;
  }
  std::lock_guard<std::recursive_mutex> lock_;
};

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

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& object, const char* what) {
  throw DataError("{}: {}: {} ({})", path.string(), object, what, reason());
}

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

hid_t file_type(Type type) {
  switch (type) {
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

/// File locks fail on network file systems without a lock daemon, and nothing here relies on them.
Handle access_properties(const Where& where) {
  Handle properties = where.handle(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "cannot prepare to open the file");
#if H5_VERSION_GE(1, 10, 7)
  where.check(H5Pset_file_locking(properties.get(), false, true), "cannot prepare to open the file");
#endif
  return properties;
}

/// The layout of HDF5 1.8: unlike the first one it checksums its own metadata, so that damage is an error when it is
/// read.
Handle creation_access_properties(const Where& where) {
  Handle properties = access_properties(where);
  where.check(H5Pset_libver_bounds(properties.get(), H5F_LIBVER_V18, H5F_LIBVER_LATEST), "cannot prepare the file");
  return properties;
}

/// Properties of a new object of `type` (H5P_DATASET_CREATE or H5P_GROUP_CREATE) without the time of day, so that equal
/// content gives equal bytes.
Handle creation_properties(const Where& where, hid_t type) {
  Handle properties = where.handle(H5Pcreate(type), H5Pclose, "cannot prepare to create it");
  where.check(H5Pset_obj_track_times(properties.get(), false), "cannot prepare to create it");
  return properties;
}

Handle utf8_type(const Where& where) {
  Handle type = where.handle(H5Tcopy(H5T_C_S1), H5Tclose, "cannot make a string type");
  where.check(H5Tset_size(type.get(), H5T_VARIABLE), "cannot make a string type");
  where.check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "cannot make a string type");
  return type;
}

Handle simple_space(const Where& where, int64_t count) {
  const auto extent = static_cast<hsize_t>(count);
  return where.handle(H5Screate_simple(1, &extent, nullptr), H5Sclose, "cannot describe its extent");
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

void require_type(const Where& where, hid_t dataset, Type type) {
  const Handle stored = where.handle(H5Dget_type(dataset), H5Tclose, "its type cannot be read");
  if (where.check(H5Tequal(stored.get(), file_type(type)), "its type cannot be compared") == 0)
    throw DataError("{}: {}: holds another type than expected", where.path.string(), where.object);
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

void write_attribute_raw(const Where& where, hid_t file, const std::string& name, hid_t stored, hid_t memory,
                         hid_t space, const void* value) {
  const Handle attribute = where.handle(
      H5Acreate_by_name(file, where.object.c_str(), name.c_str(), stored, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
      H5Aclose, ("its attribute " + name + " cannot be created").c_str());
  where.check(H5Awrite(attribute.get(), memory, value), ("its attribute " + name + " cannot be written").c_str());
}

void write_scalar_attribute(const Where& where, hid_t file, const std::string& name, Type type, const void* value) {
  const Handle space = where.handle(H5Screate(H5S_SCALAR), H5Sclose, "cannot describe an attribute");
  write_attribute_raw(where, file, name, file_type(type), memory_type(type), space.get(), value);
}

/// An open attribute that has been seen to be of the class that the caller reads.
struct Attribute {
  Attribute(const Where& where, hid_t file, const std::string& name, H5T_class_t type_class, const char* expected) {
    id = where.handle(H5Aopen_by_name(file, where.object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
                      ("its attribute " + name + " cannot be opened").c_str());
    type = where.handle(H5Aget_type(id.get()), H5Tclose, "the type of an attribute cannot be read");
    const Handle space = where.handle(H5Aget_space(id.get()), H5Sclose, "the extent of an attribute cannot be read");
    count = where.check(H5Sget_simple_extent_npoints(space.get()), "the extent of an attribute cannot be read");
    if (H5Tget_class(type.get()) != type_class)
      throw DataError("{}: {}: its attribute {} is not {}", where.path.string(), where.object, name, expected);
  }
  Handle id, type;
  int64_t count = 0;
};

template <typename Integer>
std::vector<Integer> read_integers(const Where& where, hid_t file, const std::string& name) {
  const Attribute attribute(where, file, name, H5T_INTEGER, "an integer");
  if (std::is_unsigned_v<Integer> && H5Tget_sign(attribute.type.get()) != H5T_SGN_NONE)
    throw DataError("{}: {}: its attribute {} is not unsigned", where.path.string(), where.object, name);
  std::vector<Integer> values(static_cast<size_t>(attribute.count));
  where.check(H5Aread(attribute.id.get(), memory_type(type_of<Integer>()), values.data()),
              ("its attribute " + name + " cannot be read").c_str());
  return values;
}

template <typename Integer>
Integer read_integer(const Where& where, hid_t file, const std::string& name) {
  const auto values = read_integers<Integer>(where, file, name);
  if (values.size() != 1)
    throw DataError("{}: {}: its attribute {} is not a single number", where.path.string(), where.object, name);
  return values[0];
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

File File::create(const std::filesystem::path& path) {
  const Lock lock;
  const Where where{path, "the file"};
  const Handle access = creation_access_properties(where);
  return File(path, where.handle(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), H5Fclose,
                                 "cannot be created"));
}

File File::open_read(const std::filesystem::path& path) {
  const InputFile regular(path);  // the library would wait for the writer of a pipe
  const Lock lock;
  const Where where{path, "the file"};
  const Handle access = access_properties(where);
  return File(path, where.handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose,
                                 "cannot be opened as HDF5; is it whole?"));
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

std::vector<std::string> File::names(const std::string& group) const {
  const Lock lock;
  const Where where{path_, group};
  const Handle opened_group =
      where.handle(H5Gopen2(file_.get(), group.c_str(), H5P_DEFAULT), H5Gclose, "this group cannot be opened");
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5L_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  where.check(H5Literate(opened_group.get(), H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, add, &names),
              "its members cannot be listed");
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

void File::write_attribute(const std::string& object, const std::string& name, int64_t value) {
  const Lock lock;
  write_scalar_attribute({path_, object}, file_.get(), name, Type::int64, &value);
}

void File::write_attribute(const std::string& object, const std::string& name, uint64_t value) {
  const Lock lock;
  write_scalar_attribute({path_, object}, file_.get(), name, Type::uint64, &value);
}

void File::write_attribute(const std::string& object, const std::string& name, std::string_view value) {
  const Lock lock;
  const Where where{path_, object};
  const Handle type = utf8_type(where);
  const Handle space = where.handle(H5Screate(H5S_SCALAR), H5Sclose, "cannot describe an attribute");
  const std::string text(value);
  const char* pointer = text.c_str();
  write_attribute_raw(where, file_.get(), name, type.get(), type.get(), space.get(), &pointer);
}

void File::write_attribute(const std::string& object, const std::string& name, const std::vector<int64_t>& value) {
  const Lock lock;
  const Where where{path_, object};
  const Handle space = simple_space(where, static_cast<int64_t>(value.size()));
  write_attribute_raw(where, file_.get(), name, file_type(Type::int64), memory_type(Type::int64), space.get(),
                      value.data());
}

int64_t File::read_int(const std::string& object, const std::string& name) const {
  const Lock lock;
  return read_integer<int64_t>({path_, object}, file_.get(), name);
}

uint64_t File::read_uint(const std::string& object, const std::string& name) const {
  const Lock lock;
  return read_integer<uint64_t>({path_, object}, file_.get(), name);
}

std::vector<int64_t> File::read_ints(const std::string& object, const std::string& name) const {
  const Lock lock;
  return read_integers<int64_t>({path_, object}, file_.get(), name);
}

bool File::has_attribute(const std::string& object, const std::string& name) const {
  const Lock lock;
  return H5Aexists_by_name(file_.get(), object.c_str(), name.c_str(), H5P_DEFAULT) > 0;
}

std::string File::read_string(const std::string& object, const std::string& name) const {
  const Lock lock;
  const Where where{path_, object};
  const Attribute attribute(where, file_.get(), name, H5T_STRING, "a string");
  if (attribute.count != 1)
    throw DataError("{}: {}: its attribute {} is not a single string", path_.string(), object, name);
  if (H5Tis_variable_str(attribute.type.get()) > 0) {
    char* text = nullptr;
    where.check(H5Aread(attribute.id.get(), attribute.type.get(), &text), "an attribute cannot be read");
    const std::unique_ptr<char, herr_t (*)(void*)> owner(text, H5free_memory);
    return text ? text : "";
  }
  std::string text(H5Tget_size(attribute.type.get()), '\0');
  where.check(H5Aread(attribute.id.get(), attribute.type.get(), text.data()), "an attribute cannot be read");
  return text.substr(0, text.find('\0'));
}

hid_t File::opened(const std::string& dataset) const {
  Handle& handle = datasets_[dataset];
  if (handle.get() < 0)
    handle = Where{path_, dataset}.handle(H5Dopen2(file_.get(), dataset.c_str(), H5P_DEFAULT), H5Dclose,
                                          "this data set cannot be opened");
  return handle.get();
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

void File::read_raw(const std::string& dataset, Type type, int64_t offset, int64_t count, void* out) const {
  const Lock lock;
  const Where where{path_, dataset};
  const hid_t id = opened(dataset);
  require_type(where, id, type);
  const int64_t extent = size(dataset);
  if (offset < 0 || count < 0 || count > extent || offset > extent - count)
    throw DataError("{}: {}: elements {} to {} were asked for, it has {}", path_.string(), dataset, offset,
                    offset + count, extent);
  if (count == 0) return;
  const Handle stored = selected_space(where, id, offset, count), memory = simple_space(where, count);
  where.check(H5Dread(id, memory_type(type), memory.get(), stored.get(), H5P_DEFAULT, out), "cannot be read");
}

void File::create_contiguous(const std::string& dataset, Type type, int64_t count) {
  const Lock lock;
  const Where where{path_, dataset};
  const Handle space = simple_space(where, count);
  const Handle creation = creation_properties(where, H5P_DATASET_CREATE);
  where.check(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY), "cannot prepare to create it");
  where.check(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER), "cannot prepare to create it");
  create_dataset(where, file_.get(), file_type(type), space.get(), creation.get());
}

int64_t File::byte_offset(const std::string& dataset, Type type) const {
  const Lock lock;
  const Where where{path_, dataset};
  const Handle id =
      where.handle(H5Dopen2(file_.get(), dataset.c_str(), H5P_DEFAULT), H5Dclose, "this data set cannot be opened");
  require_type(where, id.get(), type);
  const haddr_t offset = H5Dget_offset(id.get());
  if (offset == HADDR_UNDEF) throw DataError("{}: {}: is not stored in one piece", path_.string(), dataset);
  return static_cast<int64_t>(offset);
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
