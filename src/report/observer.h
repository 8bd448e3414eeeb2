#pragma once
#include <memory>
#include <string>
#include <vector>

#include "report/metrics.h"

namespace tessera {

/// Watches a run on rank 0.  Throws DataError if what it writes cannot be written.
class Observer {
 public:
  virtual ~Observer() = default;

  virtual void step(const StepMetrics& /*metrics*/) {}
  virtual void evaluation(const EvaluationMetrics& /*metrics*/) {}
  virtual void save(const SaveMetrics& /*metrics*/) {}
  /// A line for the user.
  virtual void note(const std::string& /*line*/) {}
  /// The last step is over, or training stops with an error.
  virtual void finish() {}
};

/// All of a run's observers; none on ranks other than 0.
class Observers final : public Observer {
 public:
  void add(std::unique_ptr<Observer> observer) { all_.push_back(std::move(observer)); }

  void step(const StepMetrics& metrics) override {
    for (const auto& observer : all_) observer->step(metrics);
  }
  void evaluation(const EvaluationMetrics& metrics) override {
    for (const auto& observer : all_) observer->evaluation(metrics);
  }
  void save(const SaveMetrics& metrics) override {
    for (const auto& observer : all_) observer->save(metrics);
  }
  void note(const std::string& line) override {
    for (const auto& observer : all_) observer->note(line);
  }
  void finish() override {
    for (const auto& observer : all_) observer->finish();
  }

 private:
  std::vector<std::unique_ptr<Observer>> all_;
};

}  // namespace tessera
