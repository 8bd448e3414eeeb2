#include "data/prepared_reader.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/number.h"

namespace tessera {

PreparedReader::PreparedReader(const std::filesystem::path& path)
    : file_(hdf5::File::open_read(path, hdf5::Layout::checksummed)) {
  read_header();
  std::vector<HashedColumn> columns;
  for (const std::string_view name : token_columns) columns.push_back(describe(std::string(name)));
  for (const std::string_view split : split_names)
    for (const std::string_view name : split_columns) columns.push_back(describe(split_column(split, name)));
  if (!is_checksum(prepared_checksum(header_, columns), file_.read_uint("/", "xxh3")))
    throw DataError("{}: its header does not match its checksum: the file is damaged", path.string());
  if (header_.vocab_size < 1 || header_.vocab_size > std::numeric_limits<int32_t>::max())
    throw DataError("{}: its vocab_size is {}", path.string(), header_.vocab_size);
  for (HashedColumn& column : columns) {
    const std::string name = column.name;
    columns_.emplace(name, std::move(column));
  }
}

void PreparedReader::read_header() {
  const std::string path = file_.path().string();
  if (file_.read_string("/", "format") != prepared_format) throw DataError("{}: it is not a prepared file", path);
  const int64_t version = file_.read_int("/", "version");
  if (version != prepared_version)
    throw DataError("{}: it has format version {}; this program reads version {}", path, version, prepared_version);
  header_.key = file_.read_string("/", "key");
  header_.summary = file_.read_string("/", "summary");
  header_.vocab_size = file_.read_int("/", "vocab_size");
  const int64_t sources = file_.read_int("/", "sources");
  for (int64_t i = 0; i < sources; ++i) header_.sources.push_back(file_.read_string("/sources", std::to_string(i)));
}

HashedColumn PreparedReader::describe(const std::string& name) const {
  HashedColumn column{name, file_.size(name), {}};
  const int64_t blocks = ceil_div(column.size, prepared_block), hashes = file_.size(hashes_of(name));
  if (hashes != blocks)
    throw DataError("{}: {}: has {} blocks and hashes of {}", path().string(), name, blocks, hashes);
  column.hashes.resize(narrow<size_t>(blocks));
  if (blocks > 0) file_.read(hashes_of(name), 0, blocks, column.hashes.data());
  return column;
}

/// Elements [begin, end), where whole blocks begin and end.
template <typename T>
void PreparedReader::read_blocks(const HashedColumn& column, int64_t begin, int64_t end, T* out) const {
  constexpr int64_t at_once = 64 * prepared_block;  // small enough to be hashed before it leaves the cache
  for (int64_t piece = begin; piece < end; piece += at_once) {
    const int64_t piece_end = std::min(piece + at_once, end);
    file_.read(column.name, piece, piece_end - piece, out + (piece - begin));
    for (int64_t block = piece; block < piece_end; block += prepared_block) {
      const int64_t block_end = std::min(block + prepared_block, piece_end);
      if (!is_checksum(xxh3(out + (block - begin), narrow<size_t>(block_end - block) * sizeof(T)),
                       column.hashes[narrow<size_t>(block / prepared_block)]))
        throw DataError("{}: {}: its elements {} to {} do not match their checksum: the file is damaged",
                        path().string(), column.name, block, block_end);
    }
  }
}

template <typename T>
void PreparedReader::read(const std::string& name, int64_t offset, int64_t count, T* out) const {
  const HashedColumn& column = columns_.at(name);
  if (offset < 0 || count < 0 || count > column.size || offset > column.size - count)
    throw DataError("{}: {}: elements {} to {} requested, but it has {}", path().string(), name, offset, offset + count,
                    column.size);
  if (count == 0) return;
  const int64_t end = offset + count;
  const int64_t first = offset / prepared_block * prepared_block;
  const int64_t last = std::min(round_up(end, prepared_block), column.size);
  if (first == offset && last == end) return read_blocks(column, first, last, out);
  std::vector<T> blocks(narrow<size_t>(last - first));
  read_blocks(column, first, last, blocks.data());
  std::copy_n(blocks.begin() + (offset - first), count, out);
}

template void PreparedReader::read(const std::string&, int64_t, int64_t, int32_t*) const;
template void PreparedReader::read(const std::string&, int64_t, int64_t, int64_t*) const;

}  // namespace tessera
