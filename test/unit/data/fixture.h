#pragma once
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "data/prepared.h"
#include "job/job.h"

namespace tessera::test {

/// A folder of its own that goes with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    static std::atomic<int> count = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("tessera-data-" + std::to_string(::getpid()) + "-" + std::to_string(count++));
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  Path operator/(const std::string& name) const { return path_ / name; }
  Path write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }

 private:
  Path path_;
};

inline DatasetSettings dataset(const std::string& name, const Path& path, DatasetType type = DatasetType::tokenized) {
  DatasetSettings settings;
  settings.name = name;
  settings.path = path.string();
  settings.type = type;
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
