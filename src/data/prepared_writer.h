#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/hdf5.h"
#include "data/format.h"

namespace tessera {

constexpr std::string_view prepared_format = "tessera-prepared";
constexpr int64_t prepared_version = 1;

/// A stored sample: where its tokens lie, and where it came from.
struct SampleRow {
  int64_t start = 0;  ///< its first token in /tokens and /labels
  int32_t length = 0;
  int32_t supervised = 0;  ///< labels other than -100 at positions 1 and up
  int32_t piece = 0;       ///< 0, or which further piece of a sample that was split
  int32_t file = 0;        ///< into the list of sources
  int64_t line = 0;
};

/// Writes a prepared file as its samples come, so that memory holds only a row for each.  It gets its name when it is
/// whole and on the disk; until then it has a temporary one, which goes when the writer goes.
///
///   /                attributes: format "tessera-prepared", version, key, summary, vocab_size
///   /tokens /labels  int32, the samples one after the other
///   /sources         attributes "0", "1", …: the data files
///   /splits/train /splits/eval
///                    columns, an element a sample: start, line (int64), length, supervised, piece, file (int32)
class PreparedWriter {
 public:
  explicit PreparedWriter(const std::filesystem::path& path);
  ~PreparedWriter();

  /// Stores ids and labels [begin, begin + length) of the sample.
  SampleRow add(const Sample& sample, size_t begin, size_t length);

  int64_t stored() const { return stored_; }  ///< tokens so far

  struct Contents {
    std::string key, summary;
    int64_t vocab_size = 0;
    std::vector<std::string> sources;
    std::vector<SampleRow> train, eval;
  };
  void finish(const Contents& contents);

 private:
  void flush();
  void write_split(const std::string& name, const std::vector<SampleRow>& rows);

  std::filesystem::path path_, temporary_;
  hdf5::File file_;
  std::vector<int32_t> tokens_, labels_;  // not yet written
  int64_t stored_ = 0;
};

}  // namespace tessera
