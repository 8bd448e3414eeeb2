#pragma once
#include <string>
#include <vector>

#include "data/prepared.h"
#include "job/job.h"
#include "support/temporary_folder.h"

namespace tessera::test {

inline DatasetSettings dataset(const std::string& name, const Path& path, std::string_view type = "tokenized") {
  DatasetSettings settings;
  settings.name = name;
  settings.path = path.string();
  settings.type = &dataset_type(type);
  return settings;
}

inline Job job_with(const TemporaryFolder& folder, std::vector<DatasetSettings> datasets) {
  Job job;
  job.job.output_dir = folder / "out";
  job.data.prepared_path = folder / "prepared";
  job.data.sequence_len = 64;
  job.data.workers = 2;
  job.datasets = std::move(datasets);
  return job;
}

constexpr int64_t test_vocab_size = 512;

struct StoredSample {
  std::vector<int32_t> ids, labels;
  bool operator==(const StoredSample&) const = default;
};

inline std::vector<StoredSample> samples_of(const PreparedSet& set) {
  std::vector<StoredSample> samples(static_cast<size_t>(set.size()));
  for (size_t i = 0; i < samples.size(); ++i) set.read(static_cast<int64_t>(i), samples[i].ids, samples[i].labels);
  return samples;
}

inline std::vector<StoredSample> prepared_samples(const Job& job, const std::string& split = "train",
                                                  const Tokenizer* tokenizer = nullptr,
                                                  int64_t vocab_size = test_vocab_size) {
  return samples_of(PreparedSet(prepare(job, tokenizer, vocab_size).path, split));
}

/// The text of the error that `work` ends with; empty where it does not.
template <typename ErrorType, typename Work>
std::string error_of(Work work) {
  try {
    work();
  } catch (const ErrorType& error) {
    return error.what();
  }
  return "";
}

}  // namespace tessera::test
