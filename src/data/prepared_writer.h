#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/hdf5.h"
#include "data/format.h"
#include "data/prepared_layout.h"

namespace tessera {

/// A stored sample: where its tokens lie, and where it came from.
struct SampleRow {
  int64_t start = 0;  ///< its first token in /tokens and /labels
  int32_t length = 0;
  int32_t supervised = 0;  ///< labels other than -100 at positions 1 and up
  int32_t piece = 0;       ///< 0, or which further piece of a sample that was split
  int32_t file = 0;        ///< into the list of sources
  int64_t line = 0;
};

/// Writes a prepared file sample by sample; memory holds only a row for each. The file gets its name when it is
/// complete and on the disk; until then it has a temporary one, which the destructor removes. prepared_layout.h has the
/// layout.
class PreparedWriter {
 public:
  explicit PreparedWriter(const std::filesystem::path& path);
  ~PreparedWriter();

  /// Stores ids and labels [begin, begin + length) of the sample.
  SampleRow add(const Sample& sample, size_t begin, size_t length);

  int64_t stored() const { return stored_; }  ///< tokens so far

  struct Contents {
    PreparedHeader header;
    std::vector<SampleRow> train, eval;
  };
  void finish(const Contents& contents);

 private:
  void flush();
  void write_split(std::string_view name, const std::vector<SampleRow>& rows);
  void add_hashes(const std::string& column, int64_t size, BlockHasher hasher);

  std::filesystem::path path_, temporary_;
  hdf5::File file_;
  std::vector<int32_t> tokens_, labels_;  // not yet written
  int64_t stored_ = 0;
  BlockHasher token_hasher_{sizeof(int32_t)}, label_hasher_{sizeof(int32_t)};
  std::vector<HashedColumn> columns_;  // that are written whole
};

}  // namespace tessera
