#pragma once
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "data/make_samples.h"
#include "data/prepared_writer.h"
#include "job/job.h"

namespace tessera {

/// Counts of what happened to the samples.
struct SampleCounts {
  int64_t broken = 0, empty = 0, repeated = 0, dropped = 0, truncated = 0, split = 0, unsupervised = 0;
};

/// What the job says of the data set's samples that are too long: drop, truncate or split.
Overlong overlong_of(const DatasetSettings& dataset, const DataSettings& data);

/// Stores samples in a prepared file, those above sequence_len as `overlong` says, and counts the outcomes. The parts
/// of a long document arrive one after another and are stored as if it were whole.
class SampleStore {
 public:
  /// `deduplicate`: leaves out samples that are the same as an earlier one; not documents in parts.
  SampleStore(PreparedWriter& writer, int64_t sequence_len, bool deduplicate, SampleCounts& counts);

  /// What follows is of another data set.  `first_source`: of its files among the sources of the prepared file.
  void begin(Overlong overlong, int32_t first_source);
  /// Appends the sample's rows.
  void add(const MadeSample& made, std::vector<SampleRow>& rows);
  /// A sample that could not be made; of a document, the rest is left out too.
  void leave_out(const MadeSample& made);

 private:
  /// State of a document whose parts are being stored.
  struct Document {
    Sample rest;  ///< not stored yet
    int32_t pieces = 0;
    bool left_out = false;
  };

  bool is_repeated(const Sample& sample);
  void store_whole(const MadeSample& made, std::vector<SampleRow>& rows);
  void store_part(const MadeSample& made, std::vector<SampleRow>& rows);
  void end_early();
  void store(const Sample& sample, size_t begin, size_t length, int32_t piece, const MadeSample& made,
             std::vector<SampleRow>& rows);

  PreparedWriter& writer_;
  SampleCounts& counts_;
  Overlong overlong_ = Overlong::drop;
  size_t longest_;
  bool deduplicate_;
  std::set<std::pair<uint64_t, uint64_t>> known_;  // checksums of ids and labels
  int32_t first_source_ = 0;
  Document document_;
};

}  // namespace tessera
