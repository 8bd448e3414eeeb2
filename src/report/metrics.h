#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "device/profiler.h"

namespace tessera {

/// One update, as in metrics.jsonl.
struct StepMetrics {
  int64_t step = 0;
  double epoch = 0;
  double loss = 0, grad_norm = 0, learning_rate = 0;
  int64_t tokens = 0, supervised_tokens = 0, samples = 0;
  double seconds = 0;
  double mfu = 0;
  double comm_wait_seconds = 0;
  int64_t peak_device_bytes = 0, peak_host_bytes = 0;
  std::vector<std::pair<Phase, double>> phases;  ///< seconds, with log.profile

  double tokens_per_second() const { return static_cast<double>(tokens) / seconds; }
};

/// An evaluation after a step; 0: before the first.
struct EvaluationMetrics {
  int64_t step = 0;
  double loss = 0;
  int64_t tokens = 0;  ///< that carry loss
};

/// A checkpoint of a step; times are the slowest rank's.
struct SaveMetrics {
  int64_t step = 0;
  double save_seconds = 0, pause_seconds = 0;
};

}  // namespace tessera
