#include "report/metrics_file.h"

#include <optional>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"

namespace tessera {
namespace {

/// The step that a line is of; nothing where a crash cut the line off.
std::optional<int64_t> step_of_line(const std::string& line) {
  try {
    const nlohmann::json json = parse_json(line, "a line of metrics.jsonl");
    return json.is_object() && json.contains("step") ? whole_number(json["step"]) : std::nullopt;
  } catch (const DataError&) {
    return std::nullopt;
  }
}

/// The lines of steps up to `step`.  A last line that was cut off by a crash is dropped.
std::string lines_up_to(const std::filesystem::path& path, int64_t step) {
  if (step == 0 || !is_there(path)) return {};
  std::istringstream lines(read_text(path));
  std::string kept;
  for (std::string line; std::getline(lines, line);)
    if (step_of_line(line).value_or(step + 1) <= step) kept += line + "\n";
  return kept;
}

}  // namespace

MetricsFile::MetricsFile(const std::filesystem::path& path, int64_t resumed_step) : path_(path) {
  write_text_durably(path, lines_up_to(path, resumed_step));
  file_.open(path, std::ios::app);
  if (!file_) throw DataError("{}: cannot be opened for writing", path.string());
}

void MetricsFile::line(const std::string& json) {
  file_ << json << '\n' << std::flush;
  if (!file_) throw DataError("{}: writing failed; is the disk full?", path_.string());
}

void MetricsFile::step(const StepMetrics& m) {
  nlohmann::ordered_json json = {{"step", m.step},
                                 {"epoch", m.epoch},
                                 {"loss", m.loss},
                                 {"grad_norm", m.grad_norm},
                                 {"learning_rate", m.learning_rate},
                                 {"tokens", m.tokens},
                                 {"supervised_tokens", m.supervised_tokens},
                                 {"samples", m.samples},
                                 {"seconds", m.seconds},
                                 {"tokens_per_second", m.tokens_per_second()},
                                 {"mfu", m.mfu},
                                 {"comm_wait_seconds", m.comm_wait_seconds},
                                 {"peak_device_bytes", m.peak_device_bytes},
                                 {"peak_host_bytes", m.peak_host_bytes}};
  for (const auto& [phase, seconds] : m.phases) json["profile"][std::string(name_of(phase))] = seconds;
  line(json.dump());
}

void MetricsFile::evaluation(const EvaluationMetrics& m) {
  line(nlohmann::ordered_json{{"step", m.step}, {"eval_loss", m.loss}, {"eval_tokens", m.tokens}}.dump());
}

void MetricsFile::save(const SaveMetrics& m) {
  const nlohmann::ordered_json json = {
      {"step", m.step}, {"save_seconds", m.save_seconds}, {"pause_seconds", m.pause_seconds}};
  line(json.dump());
}

}  // namespace tessera
