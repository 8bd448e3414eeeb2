#pragma once
#include <chrono>
#include <cstdint>
#include <string>

#include "report/observer.h"

namespace tessera {

/// Shows the progress of a run: a bar on a terminal, otherwise a line every logging_steps.
class Progress final : public Observer {
 public:
  /// first_step: the first step of this run; after a resume not 1.
  Progress(int64_t first_step, int64_t total_steps, int64_t logging_steps);

  void step(const StepMetrics& metrics) override;
  void evaluation(const EvaluationMetrics& metrics) override;
  void save(const SaveMetrics& metrics) override;
  /// A line between the bar's redraws.
  void note(const std::string& line) override;
  void finish() override;

 private:
  std::string remaining(int64_t step) const;
  void draw(const std::string& bar);

  int64_t first_step_, total_steps_, logging_steps_;
  bool terminal_;
  std::string shown_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// "1:02:03", "2:03".
std::string clock_text(double seconds);

}  // namespace tessera
