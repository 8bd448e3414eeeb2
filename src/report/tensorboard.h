#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "report/observer.h"

namespace tessera {

/// A TensorBoard event file: TFRecords (length, masked CRC-32C, data, masked CRC-32C) of Event protocol buffers with
/// scalar summaries.  Formats: tensorflow/core/util/event.proto, framework/summary.proto, lib/io/record_writer.
class TensorBoardFile final : public Observer {
 public:
  /// Begins a new file in `directory`; TensorBoard reads all of them, and discards values of earlier files for
  /// `first_step` and later steps.
  TensorBoardFile(const std::filesystem::path& directory, int64_t first_step);

  void step(const StepMetrics& metrics) override;
  void evaluation(const EvaluationMetrics& metrics) override;

 private:
  void scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values);
  void record(const std::string& data);
  std::filesystem::path path_;
  std::ofstream file_;
};

}  // namespace tessera
