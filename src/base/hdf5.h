#pragma once
#include <hdf5.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// RAII over the HDF5 C API.  The usual build of the library is not thread-safe, so every call of this file takes the
/// one process-wide lock; nothing else in the program includes hdf5.h.  Every failure is a DataError that names the
/// file, the object, and HDF5's own reason.
namespace tessera::hdf5 {

/// An hid_t that is closed with `close` when it goes out of scope.
class Handle {
 public:
  Handle() = default;
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept;
  Handle& operator=(Handle&& other) noexcept;
  ~Handle();
  hid_t get() const { return id_; }
  hid_t release();  ///< without closing it

 private:
  hid_t id_ = -1;
  herr_t (*close_)(hid_t) = nullptr;
};

enum class Type { uint8, uint16, int32, int64, uint32, uint64, float32, float64 };
template <typename T>
constexpr Type type_of();
template <>
constexpr Type type_of<uint8_t>() {
  return Type::uint8;
}
template <>
constexpr Type type_of<uint16_t>() {
  return Type::uint16;
}
template <>
constexpr Type type_of<int32_t>() {
  return Type::int32;
}
template <>
constexpr Type type_of<int64_t>() {
  return Type::int64;
}
template <>
constexpr Type type_of<uint32_t>() {
  return Type::uint32;
}
template <>
constexpr Type type_of<uint64_t>() {
  return Type::uint64;
}
template <>
constexpr Type type_of<float>() {
  return Type::float32;
}
template <>
constexpr Type type_of<double>() {
  return Type::float64;
}

/// How a file lays out its metadata.
enum class Layout {
  v18,          ///< as HDF5 1.8, readable by any later version: strings have variable length, which h5py reads into str
  checksummed,  ///< as HDF5 1.10, with a checksum by the library over every byte of metadata.  Strings have fixed
                ///< length: others lie in a heap that has no checksum, as has the chunk index of HDF5 1.8
};

/// One HDF5 file, open for reading or for writing.  Object names are paths inside the file:
/// "/tensors/model.norm.weight".  Files that are read may be untrusted: links other than hard ones, data sets whose
/// bytes lie in other files or behind a filter, names that are not UTF-8, and sizes beyond the file's are DataErrors.
class File {
 public:
  /// A new file in place of an existing one, which is removed; a link is not followed.  The metadata cache is flushed
  /// at close().
  static File create(const std::filesystem::path& path, Layout layout = Layout::v18);
  static File open_read(const std::filesystem::path& path, Layout layout = Layout::v18);
  ~File();
  File(File&&) noexcept = default;
  File& operator=(File&&) noexcept = default;

  const std::filesystem::path& path() const { return path_; }

  /// Flushes and closes; throws where the disk is full.  The destructor closes without reporting.
  void close();

  /// Writes all metadata, including what the library would otherwise write at close().
  void flush();

  bool exists(const std::string& object) const;
  std::vector<std::string> names(const std::string& group) const;  ///< the members of a group, in name order
  void create_group(const std::string& group);                     ///< with the groups above it

  // Attributes of the object ("/" is the root).  write_* creates, read_* throws where it is missing or of another type.
  bool has_attribute(const std::string& object, const std::string& name) const;
  void write_attribute(const std::string& object, const std::string& name, int64_t value);
  void write_attribute(const std::string& object, const std::string& name, uint64_t value);
  void write_attribute(const std::string& object, const std::string& name, std::string_view value);
  void write_attribute(const std::string& object, const std::string& name, const std::vector<int64_t>& value);
  int64_t read_int(const std::string& object, const std::string& name) const;
  uint64_t read_uint(const std::string& object, const std::string& name) const;
  std::string read_string(const std::string& object, const std::string& name) const;
  std::vector<int64_t> read_ints(const std::string& object, const std::string& name) const;

  /// A contiguous 1-D data set of `count` elements, written whole.
  template <typename T>
  void write(const std::string& dataset, const T* data, int64_t count) {
    write_raw(dataset, type_of<T>(), data, count);
  }
  /// Elements [offset, offset + count) of a 1-D data set.
  template <typename T>
  void read(const std::string& dataset, int64_t offset, int64_t count, T* out) const {
    read_raw(dataset, type_of<T>(), offset, count, out);
  }
  int64_t size(const std::string& dataset) const;           ///< elements of a 1-D data set
  int64_t element_bytes(const std::string& dataset) const;  ///< as they are stored

  /// A contiguous 1-D data set (count > 0) that has no room for its bytes until allocate() is called.
  void create_contiguous(const std::string& dataset, Type type, int64_t count);
  /// Reserves space for it at the end of the file and returns the offset. The caller writes the bytes there after the
  /// file is closed: large data then never hold the lock, and a full disk is an ordinary error of pwrite. Spaces
  /// reserved after everything else was created and flush() called fill the file contiguously to its end.
  int64_t allocate(const std::string& dataset);
  /// Where a contiguous data set's first byte lies in the file; throws where it is of another type or layout.
  int64_t byte_offset(const std::string& dataset, Type type) const;

  /// A 1-D data set that grows: append() adds a piece at its end.  chunk is in elements.
  void create_growing(const std::string& dataset, Type type, int64_t chunk);
  template <typename T>
  void append(const std::string& dataset, const T* data, int64_t count) {
    append_raw(dataset, type_of<T>(), data, count);
  }

 private:
  File(std::filesystem::path path, Layout layout, Handle file)
      : path_(std::move(path)), layout_(layout), file_(std::move(file)) {}
  void write_raw(const std::string& dataset, Type type, const void* data, int64_t count);
  void read_raw(const std::string& dataset, Type type, int64_t offset, int64_t count, void* out) const;
  void append_raw(const std::string& dataset, Type type, const void* data, int64_t count);
  hid_t opened(const std::string& dataset) const;
  /// Throws where a link on the way to the object could lead out of the file.
  void require_own(const std::string& object) const;

  std::filesystem::path path_;
  Layout layout_;
  Handle file_;
  // Data sets read from or appended to stay open, so that a chunk is not written or decoded once for every small piece.
  mutable std::map<std::string, Handle> datasets_;
  mutable std::set<std::string> own_;  // objects that require_own() has found to lie in the file
};

}  // namespace tessera::hdf5
