#include "data/sample_store.h"

#include <algorithm>

#include "base/hash.h"
#include "base/number.h"

namespace tessera {

Overlong overlong_of(const DatasetSettings& dataset, const DataSettings& data) {
  const Overlong said = dataset.overlong.value_or(data.overlong);
  if (said != Overlong::by_type) return said;
  return dataset.type->kind == DatasetKind::completion ? Overlong::split : Overlong::drop;
}

SampleStore::SampleStore(PreparedWriter& writer, int64_t sequence_len, bool deduplicate, SampleCounts& counts)
    : writer_(writer), counts_(counts), longest_(narrow<size_t>(sequence_len)), deduplicate_(deduplicate) {}

bool SampleStore::is_repeated(const Sample& sample) {
  const auto checksum = [](const std::vector<int32_t>& values) {
    return xxh3(values.data(), values.size() * sizeof(int32_t));
  };
  return deduplicate_ && !known_.emplace(checksum(sample.ids), checksum(sample.labels)).second;
}

void SampleStore::begin(Overlong overlong, int32_t first_source) {
  overlong_ = overlong;
  first_source_ = first_source;
  document_ = {};
}

void SampleStore::add(const MadeSample& made, std::vector<SampleRow>& rows) {
  if (made.part.begins && made.part.ends)
    store_whole(made, rows);
  else
    store_part(made, rows);
}

void SampleStore::leave_out(const MadeSample& made) {
  document_ = {};
  document_.left_out = !made.part.ends;
}

void SampleStore::store_whole(const MadeSample& made, std::vector<SampleRow>& rows) {
  const size_t length = made.sample.ids.size();
  if (length == 0) {
    ++counts_.empty;
  } else if (is_repeated(made.sample)) {
    ++counts_.repeated;
  } else if (length <= longest_) {
    store(made.sample, 0, length, 0, made, rows);
  } else if (overlong_ == Overlong::drop) {
    ++counts_.dropped;
  } else if (overlong_ == Overlong::truncate) {
    ++counts_.truncated;
    store(made.sample, 0, longest_, 0, made, rows);
  } else {
    ++counts_.split;
    int32_t piece = 0;
    for (size_t begin = 0; begin < length; begin += longest_)
      store(made.sample, begin, std::min(longest_, length - begin), piece++, made, rows);
  }
}

void SampleStore::store_part(const MadeSample& made, std::vector<SampleRow>& rows) {
  if (made.part.begins) document_ = {};
  if (document_.left_out) return;
  Sample& rest = document_.rest;
  rest.ids.insert(rest.ids.end(), made.sample.ids.begin(), made.sample.ids.end());
  rest.labels.insert(rest.labels.end(), made.sample.labels.begin(), made.sample.labels.end());
  size_t stored = 0;
  if (rest.ids.size() > longest_ && document_.pieces == 0) {
    ++(overlong_ == Overlong::drop       ? counts_.dropped
       : overlong_ == Overlong::truncate ? counts_.truncated
                                         : counts_.split);
    if (overlong_ == Overlong::truncate) store(rest, 0, longest_, 0, made, rows);
    if (overlong_ != Overlong::split) return end_early();
  }
  for (; rest.ids.size() - stored > longest_; stored += longest_)
    store(rest, stored, longest_, document_.pieces++, made, rows);
  rest.ids.erase(rest.ids.begin(), rest.ids.begin() + narrow<int64_t>(stored));
  rest.labels.erase(rest.labels.begin(), rest.labels.begin() + narrow<int64_t>(stored));
  if (!made.part.ends) return;
  if (!rest.ids.empty())
    store(rest, 0, rest.ids.size(), document_.pieces, made, rows);
  else
    ++counts_.empty;
  document_ = {};
}

/// Nothing more is wanted of the document.
void SampleStore::end_early() {
  document_ = {};
  document_.left_out = true;
}

void SampleStore::store(const Sample& sample, size_t begin, size_t length, int32_t piece, const MadeSample& made,
                        std::vector<SampleRow>& rows) {
  SampleRow row = writer_.add(sample, begin, length);
  row.piece = piece;
  row.file = first_source_ + made.file;
  row.line = made.line;
  counts_.unsupervised += row.supervised == 0;
  rows.push_back(row);
}

}  // namespace tessera
