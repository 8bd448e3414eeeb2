#include <algorithm>
#include <memory>
#include <type_traits>

#include "base/error.h"
#include "base/hdf5_calls.h"

namespace tessera::hdf5 {
namespace {

constexpr int64_t most_integers = 4096;  // of an attribute; those of shapes have as many as a tensor has dimensions

/// `bytes`: H5T_VARIABLE, or those of a string of fixed length.
Handle utf8_type(const Where& where, size_t bytes) {
  Handle type = where.handle(H5Tcopy(H5T_C_S1), H5Tclose, "cannot make a string type");
  where.check(H5Tset_size(type.get(), bytes), "cannot make a string type");
  where.check(H5Tset_strpad(type.get(), bytes == H5T_VARIABLE ? H5T_STR_NULLTERM : H5T_STR_NULLPAD),
              "cannot make a string type");
  where.check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "cannot make a string type");
  return type;
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
  if (attribute.count > most_integers)
    throw DataError("{}: {}: its attribute {} claims {} numbers", where.path.string(), where.object, name,
                    attribute.count);
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
  const bool fixed = layout_ == Layout::checksummed;
  const std::string text(value);
  const Handle type = utf8_type(where, fixed ? std::max<size_t>(text.size(), 1) : H5T_VARIABLE);
  const Handle space = where.handle(H5Screate(H5S_SCALAR), H5Sclose, "cannot describe an attribute");
  const char* pointer = text.c_str();
  write_attribute_raw(where, file_.get(), name, type.get(), type.get(), space.get(),
                      fixed ? static_cast<const void*>(pointer) : &pointer);
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
  require_own(object);
  return read_integer<int64_t>({path_, object}, file_.get(), name);
}

uint64_t File::read_uint(const std::string& object, const std::string& name) const {
  const Lock lock;
  require_own(object);
  return read_integer<uint64_t>({path_, object}, file_.get(), name);
}

std::vector<int64_t> File::read_ints(const std::string& object, const std::string& name) const {
  const Lock lock;
  require_own(object);
  return read_integers<int64_t>({path_, object}, file_.get(), name);
}

bool File::has_attribute(const std::string& object, const std::string& name) const {
  const Lock lock;
  require_own(object);
  return H5Aexists_by_name(file_.get(), object.c_str(), name.c_str(), H5P_DEFAULT) > 0;
}

std::string File::read_string(const std::string& object, const std::string& name) const {
  const Lock lock;
  const Where where{path_, object};
  require_own(object);
  const Attribute attribute(where, file_.get(), name, H5T_STRING, "a string");
  if (attribute.count != 1)
    throw DataError("{}: {}: its attribute {} is not a single string", path_.string(), object, name);
  if (H5Tis_variable_str(attribute.type.get()) > 0) {
    if (layout_ == Layout::checksummed)
      throw DataError("{}: {}: its attribute {} is a variable-length string; expected a fixed-length one",
                      path_.string(), object, name);
    char* text = nullptr;
    where.check(H5Aread(attribute.id.get(), attribute.type.get(), &text), "an attribute cannot be read");
    const std::unique_ptr<char, herr_t (*)(void*)> owner(text, H5free_memory);
    return text ? text : "";
  }
  const size_t bytes = H5Tget_size(attribute.type.get());
  if (bytes > bytes_of_file(where, file_.get()))
    throw DataError("{}: {}: its attribute {} claims {} bytes", path_.string(), object, name, bytes);
  std::string text(bytes, '\0');
  where.check(H5Aread(attribute.id.get(), attribute.type.get(), text.data()), "an attribute cannot be read");
  return text.substr(0, text.find('\0'));
}

}  // namespace tessera::hdf5
