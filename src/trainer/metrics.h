#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
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

/// output_dir/metrics.jsonl: one object a line, flushed each time.
class MetricsFile {
 public:
  /// Keeps the lines up to `resumed_step` (0: begins anew), so that a resumed run continues the file.
  MetricsFile(const std::filesystem::path& path, int64_t resumed_step);

  void step(const StepMetrics& metrics);
  void evaluation(int64_t step, double loss, int64_t tokens);
  void save(int64_t step, double save_seconds, double pause_seconds);

 private:
  void line(const std::string& json);
  std::filesystem::path path_;
  std::ofstream file_;
};

/// The largest resident set of this process so far.
int64_t peak_host_bytes();

}  // namespace tessera
