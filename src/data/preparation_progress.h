#pragma once
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

#include "data/records.h"

namespace tessera {

/// Logs the progress of preparing a data set every ten seconds, also while only blank lines are read, and warns once
/// about a file that decompresses to a disproportionate size. Thread-safe.
class PreparationProgress {
 public:
  void begin(std::string section);
  void read(const ReadingState& state);
  void made(int64_t samples, int64_t tokens);  ///< of the data set, and of all so far

 private:
  bool is_time();

  std::mutex mutex_;
  std::string section_;
  std::string file_;     // that is being read
  bool warned_ = false;  // of that file
  int64_t samples_ = 0, tokens_ = 0;
  std::chrono::steady_clock::time_point said_ = std::chrono::steady_clock::now();
};

}  // namespace tessera
