#pragma once
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/checkpoint.h"
#include "optim/adamw.h"
#include "trainer/evaluation.h"
#include "trainer/flops.h"
#include "trainer/metrics.h"
#include "trainer/plan.h"
#include "trainer/profile_table.h"
#include "trainer/progress.h"
#include "trainer/saving.h"
#include "trainer/session.h"
#include "trainer/tensorboard.h"
#include "trainer/trace.h"

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
  void warn_of_changes(const CheckpointInfo& before) const;
  void announce();

  void step(int64_t k);
  int64_t enqueue_micro_batches(int64_t k, const TrainingPlan::Update& update);
  std::vector<Report> exchange_report(int64_t k);
  StepMetrics summarise(int64_t k, const TrainingPlan::Update& update, const std::vector<Report>& reports,
                        int64_t supervised);
  void require_finite(const StepMetrics& metrics);
  void tell(const StepMetrics& metrics);

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
  AdamW optimizer_;
  FlopCounter flops_;
  Saving saving_;
  double gemm_peak_ = 0;  // FLOP/s of all ranks
  int64_t resumed_step_ = 0;
  Path resumed_directory_;  // of the checkpoint that it was resumed from
  bool stop_ = false;
  int64_t last_saved_ = 0;
  int64_t samples_seen_ = 0, tokens_seen_ = 0;
  double step_started_ = 0, training_seconds_ = 0;
  PhaseSeconds phase_seconds_{};  // of all steps, with log.profile
  double communication_wait_so_far_ = 0;
  std::optional<Trace> trace_;
  // Rank 0 only.
  std::optional<MetricsFile> metrics_;
  std::optional<TensorBoardFile> tensorboard_;
  std::optional<Progress> progress_;
};

}  // namespace tessera
