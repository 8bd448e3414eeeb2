#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/hdf5.h"
#include "data/prepared_layout.h"

namespace tessera {

/// A prepared file, verified against its checksums before any data is returned. Every error is a DataError that names
/// the file and the damage.
class PreparedReader {
 public:
  /// Reads the header and the columns' hashes.
  explicit PreparedReader(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const PreparedHeader& header() const { return header_; }

  int64_t size(const std::string& column) const { return columns_.at(column).size; }  ///< elements, all present
  /// Elements [offset, offset + count) of a column.  Reads whole blocks.
  template <typename T>
  void read(const std::string& column, int64_t offset, int64_t count, T* out) const;

 private:
  void read_header();
  HashedColumn describe(const std::string& name) const;
  template <typename T>
  void read_blocks(const HashedColumn& column, int64_t begin, int64_t end, T* out) const;

  hdf5::File file_;
  PreparedHeader header_;
  std::map<std::string, HashedColumn> columns_;
};

}  // namespace tessera
