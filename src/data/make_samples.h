#pragma once
#include <exception>
#include <string>
#include <vector>

#include "data/format.h"
#include "data/records.h"

namespace tessera {

/// What one record became.
struct MadeSample {
  int32_t file = 0;
  int64_t line = 0;
  DocumentPart part;
  Sample sample;
  std::exception_ptr error;  ///< set if it could not become a sample
};

/// The samples of some records, in their order, made by `threads` threads.
std::vector<MadeSample> make_samples(const std::vector<Record>& records, const std::vector<Path>& files,
                                     const SampleFormat& format, int64_t vocab_size, int64_t threads);

}  // namespace tessera
