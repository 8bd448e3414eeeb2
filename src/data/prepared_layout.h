#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"

/// The layout of a prepared file.
///
///   /                attributes: format "tessera-prepared", version, key, summary, vocab_size, sources (their number),
///   and
///                    xxh3: the checksum of all of these, of the sources' names and of the columns' hashes
///   /tokens /labels  int32, the samples one after the other
///   /sources         attributes "0", "1", …: the data files
///   /splits/train /splits/eval
///                    columns, an element a sample: start, line (int64), length, supervised, piece, file (int32)
///   NAME_xxh3        of each of these data sets: uint64, XXH3-64 of the bytes of each block of it
namespace tessera {

constexpr std::string_view prepared_format = "tessera-prepared";
constexpr int64_t prepared_version = 2;

/// Elements under one hash, and of a chunk of /tokens and /labels: a sample is read without reading much more.
constexpr int64_t prepared_block = 16'384;

constexpr std::array<std::string_view, 2> token_columns = {"/tokens", "/labels"};
constexpr std::array<std::string_view, 2> split_names = {"train", "eval"};
constexpr std::array<std::string_view, 6> split_columns = {"start", "length", "supervised", "piece", "file", "line"};

std::string split_column(std::string_view split, std::string_view column);  ///< "/splits/train/start"
std::string hashes_of(std::string_view column);                             ///< the data set with its blocks' hashes

/// The header of a prepared file.
struct PreparedHeader {
  std::string key, summary;
  int64_t vocab_size = 0;
  std::vector<std::string> sources;
};

struct HashedColumn {
  std::string name;
  int64_t size = 0;  ///< elements
  std::vector<uint64_t> hashes;
};

/// Of everything except the columns' bytes, which their hashes cover.
uint64_t prepared_checksum(const PreparedHeader& header, const std::vector<HashedColumn>& columns);

/// The hashes of a column's blocks, made as its elements come in pieces of any size.
class BlockHasher {
 public:
  explicit BlockHasher(int64_t element_bytes) : block_bytes_(prepared_block * element_bytes) {}
  void add(const void* data, int64_t bytes);
  std::vector<uint64_t> finish();  ///< also of the last block, which may be short

 private:
  int64_t block_bytes_;
  int64_t in_block_ = 0;
  std::unique_ptr<Hasher> block_ = std::make_unique<Hasher>();
  std::vector<uint64_t> hashes_;
};

}  // namespace tessera
