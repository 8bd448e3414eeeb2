#pragma once
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

#include "data/records.h"

namespace tessera {

/// Says every ten seconds how far the preparation of a data set has come, also while nothing but blank lines is read,
/// and warns once of a file that unpacks to out of all proportion.  Any thread may call.
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
