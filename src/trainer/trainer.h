#pragma once
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/checkpoint.h"
#include "optim/gradient_norm.h"
#include "optim/optimizer.h"
#include "report/observer.h"
#include "report/profile_table.h"
#include "report/trace.h"
#include "session/flops.h"
#include "session/session.h"
#include "trainer/evaluation.h"
#include "trainer/saving.h"
#include "trainer/training_plan.h"

namespace tessera {

/// The verb run: fills the weights, goes through the plan's updates, evaluates, saves, exports.  One object per rank;
/// all ranks make the same decisions from the report that they exchange in every step.
class Trainer {
 public:
  Trainer(const Job& job, Cluster& cluster);
  ~Trainer();

  /// asked_to_stop if a signal ended it early, after saving the state.
  ExitCode run();

 private:
  /// What each rank sends to the others at the end of every step; the only control message.
  struct Report {
    double loss_sum = 0;
    double squared_norm = 0;
    double comm_wait_seconds = 0;
    int64_t peak_device_bytes = 0;
    int64_t peak_host_bytes = 0;
    int64_t stop_requested = 0;
    SaveReport save;
  };

  void load_weights();
  void add_observers();
  void warn_of_changes(const CheckpointInfo& before) const;
  void announce();

  void step(int64_t k);
  int64_t enqueue_micro_batches(int64_t k, const TrainingPlan::Update& update);
  std::vector<Report> exchange_report(int64_t k);
  StepMetrics summarise(int64_t k, const TrainingPlan::Update& update, const std::vector<Report>& reports,
                        int64_t supervised);
  void require_finite(const StepMetrics& metrics);

  void evaluate(int64_t step);
  void save(int64_t step);
  void collect_save(const std::vector<Report>& reports);
  void finish_saving();
  void export_model(int64_t step);
  void write_trace();
  bool due(int64_t every, int64_t step) const { return every > 0 && step % every == 0; }

  const Job& job_;
  Cluster& cluster_;
  std::optional<FileLock> output_lock_;  // rank 0
  Session session_;
  PreparedSet training_set_;
  TrainingPlan plan_;
  Evaluation evaluation_;
  GradientNorm gradient_norm_;
  std::unique_ptr<Optimizer> optimizer_;
  FlopCounter flops_;
  Saving saving_;
  double gemm_peak_ = 0;  // FLOP/s of all ranks
  int64_t resumed_step_ = 0;
  std::optional<BaseModel> base_;
  Path resumed_directory_;  // of the checkpoint that it was resumed from
  bool stop_ = false;
  int64_t last_saved_ = 0;
  int64_t samples_seen_ = 0, tokens_seen_ = 0;
  double step_started_ = 0, training_seconds_ = 0;
  PhaseSeconds phase_seconds_{};  // of all steps, with log.profile
  double communication_wait_so_far_ = 0;
  std::optional<Trace> trace_;
  Observers observers_;
};

}  // namespace tessera
