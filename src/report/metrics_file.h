#pragma once
#include <filesystem>
#include <fstream>
#include <string>

#include "report/observer.h"

namespace tessera {

/// output_dir/metrics.jsonl: one object a line, flushed each time.
class MetricsFile final : public Observer {
 public:
  /// Keeps the lines up to `resumed_step` (0: begins anew), so that a resumed run continues the file.
  MetricsFile(const std::filesystem::path& path, int64_t resumed_step);

  void step(const StepMetrics& metrics) override;
  void evaluation(const EvaluationMetrics& metrics) override;
  void save(const SaveMetrics& metrics) override;

 private:
  void line(const std::string& json);
  std::filesystem::path path_;
  std::ofstream file_;
};

}  // namespace tessera
