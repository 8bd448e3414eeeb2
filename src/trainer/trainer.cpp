#include "trainer/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/error.h"
#include "base/host_memory.h"
#include "base/log.h"
#include "cluster/agree.h"
#include "optim/schedule.h"
#include "report/metrics_file.h"
#include "report/progress.h"
#include "report/tensorboard.h"
#include "session/compute_device.h"
#include "session/export_model.h"
#include "session/job_choices.h"
#include "session/job_weights.h"

namespace tessera {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// Makes output_dir, takes its lock and writes the resolved job, on rank 0.
std::optional<FileLock> claim_output_dir(const Job& job, Cluster& cluster) {
  std::optional<FileLock> lock;
  agree(cluster.world(), "claiming output_dir", [&] {
    if (cluster.rank() != 0) return;
    const Path& directory = job.job.output_dir;
    make_directory(directory, "[job] output_dir");
    if (job.checkpoint.export_when != Export::never) require_export_directory(export_settings(job));
    if (!job.log.trace.empty()) make_directory(job.log.trace.parent_path(), "[log] trace");
    if (std::filesystem::is_directory(job.log.trace))
      throw JobError("[log] trace: {} is a directory; expected the path of a file", job.log.trace.string());
    lock.emplace(directory / ".lock", FileLock::Wait::no,
                 fmt::format("[job] output_dir: another job is running on {}; wait for it or choose another output_dir",
                             directory.string()));
    write_text_durably(directory / "job.resolved.ini", resolved_text(job));
  });
  return lock;
}

/// The samples of every step. Steps without a supervised token would train nothing, at a loss of 0.
TrainingPlan plan_together(const PreparedSet& set, const Job& job, Cluster& cluster) {
  std::optional<TrainingPlan> plan;
  agree(cluster.world(), "planning the steps", [&] {
    plan.emplace(set.lengths(), job, cluster.size());
    if (!has_supervision(*plan, set.supervised()))
      throw DataError(
          "{}: no sample of the job's {} step{} has a token that carries loss, so there is nothing to train on; check "
          "the labels, or the keys that select roles and parts (train inspect shows the mask)",
          named(job.datasets, "dataset"), plan->total_steps(), plan->total_steps() == 1 ? "" : "s");
  });
  return std::move(*plan);
}

}  // namespace

Trainer::Trainer(const Job& job, Cluster& cluster)
    : job_(job),
      cluster_(cluster),
      output_lock_(claim_output_dir(job, cluster)),
      session_(job, cluster),
      training_set_(session_.prepared().path, "train"),
      plan_(plan_together(training_set_, job, cluster)),
      evaluation_(session_),
      gradient_norm_(session_.model()),
      optimizer_(make_optimizer(session_.model(), job.train)),
      flops_(session_.spec()),
      saving_(session_.model(), job, cluster.rank()) {
  if (!job.log.trace.empty()) trace_.emplace(job.log.trace);
}

Trainer::~Trainer() = default;

ExitCode Trainer::run() {
  load_weights();
  add_observers();
  announce();
  if (any_rank(session_.world(), "the ranks' stop signals", signals::stop_requested())) {
    observers_.note("stopped by a signal before the first step; run the same command again");
    return ExitCode::asked_to_stop;
  }
  if (resumed_step_ == 0) evaluate(0);
  step_started_ = now();
  for (int64_t k = resumed_step_ + 1; k <= plan_.total_steps(); ++k) {
    step(k);
    const bool last = k == plan_.total_steps();
    if (last || due(job_.eval.eval_steps, k)) evaluate(k);
    if (last || stop_ || due(job_.checkpoint.save_steps, k)) save(k);
    if (stop_ && !last) {
      finish_saving();
      write_trace();
      observers_.note(fmt::format("stopped by {} after step {}; run the same command{} to resume",
                                  signals::stop_reason(), k,
                                  job_.checkpoint.resume == "auto" ? "" : " with checkpoint.resume=auto"));
      return ExitCode::asked_to_stop;
    }
  }
  finish_saving();
  observers_.finish();
  write_trace();
  if (session_.is_first() && job_.log.profile && plan_.total_steps() > resumed_step_)
    log::info("{}", profile_table(phase_seconds_, plan_.total_steps() - resumed_step_, training_seconds_));
  if (job_.checkpoint.export_when != Export::never) export_model(std::max(resumed_step_, plan_.total_steps()));
  return ExitCode::done;
}

// ---- before the first step ----

void Trainer::load_weights() {
  std::optional<Path> directory;
  std::optional<CheckpointReader> checkpoint;
  agree(session_.world(), "looking for a checkpoint", [&] {
    directory = chosen_checkpoint(job_);
    if (directory) checkpoint.emplace(*directory);
  });
  base_ = load_job_weights(session_, checkpoint ? &*checkpoint : nullptr);
  if (checkpoint) {
    resumed_step_ = last_saved_ = checkpoint->info().step;
    samples_seen_ = checkpoint->info().samples_seen;
    tokens_seen_ = checkpoint->info().tokens_seen;
    resumed_directory_ = *directory;
    warn_of_changes(checkpoint->info());
  }
  const double mine = session_.gemm_peak();
  std::vector<double> peaks(static_cast<size_t>(cluster_.size()));
  session_.world().all_gather_host(&mine, peaks.data(), sizeof mine, "all_gather(GEMM peak)");
  gemm_peak_ = std::accumulate(peaks.begin(), peaks.end(), 0.0);
  if (directory && session_.is_first()) log::info("resuming from {}", directory->string());
}

void Trainer::add_observers() {
  if (!session_.is_first()) return;
  observers_.add(std::make_unique<MetricsFile>(job_.job.output_dir / "metrics.jsonl", resumed_step_));
  const int64_t first_step = resumed_step_ == 0 ? 0 : resumed_step_ + 1;  // step 0: the first evaluation
  if (job_.log.tensorboard)
    observers_.add(std::make_unique<TensorBoardFile>(job_.job.output_dir / "tensorboard", first_step));
  observers_.add(std::make_unique<Progress>(resumed_step_ + 1, plan_.total_steps(), job_.log.logging_steps));
}

/// A run may continue with other settings; the user should know that its curve then has two parts.
void Trainer::warn_of_changes(const CheckpointInfo& before) const {
  if (!session_.is_first()) return;
  std::vector<std::string> changes = changed_settings(before.job, job_);
  if (before.model_config != session_.spec().config) changes.emplace_back("config.json");
  if (!before.data.empty() && before.data != training_set_.key())
    changes.emplace_back("the samples (data files, tokenizer, or settings that shape samples)");
  if (!changes.empty())
    log::warn("settings differ from those of the checkpoint of step {}: {}", before.step, fmt::join(changes, "; "));
}

void Trainer::announce() {
  if (!session_.is_first()) return;
  if (resumed_step_ >= plan_.total_steps())
    log::info("all {} steps are already done; nothing left to train", plan_.total_steps());
  log::info("{}, {} over {} rank{}; {} steps of {} sequences of at most {} tokens", weights_text(session_.spec()),
            job_.model.precision == Precision::bf16 ? "bf16" : "fp32", cluster_.size(), cluster_.size() == 1 ? "" : "s",
            plan_.total_steps(), plan_.sequences_per_update(), job_.data.sequence_len);
  log::info("{}", session_.memory_plan().describe());
  const int64_t longest = std::ranges::max(training_set_.lengths()), known = session_.spec().max_position_embeddings;
  if (longest > known)
    log::warn(
        "the longest sample has {} tokens, but the model has {} positions (max_position_embeddings in config.json)",
        longest, known);
}

// ---- a step ----

int64_t Trainer::enqueue_micro_batches(int64_t k, const TrainingPlan::Update& update) {
  const int64_t supervised = std::accumulate(update.sequences.begin(), update.sequences.end(), int64_t{0},
                                             [&](int64_t sum, const Sequence& sequence) {
                                               for (const int32_t sample : sequence)
                                                 sum += training_set_.supervised()[static_cast<size_t>(sample)];
                                               return sum;
                                             });
  const float scale = supervised > 0 ? 1.0f / static_cast<float>(supervised) : 0.0f;
  ShardedModel& model = session_.model();
  model.begin_update(k);
  const MicroBatches deal{static_cast<int64_t>(update.sequences.size()), job_.train.micro_batch_size, cluster_.size()};
  for (int64_t m = 0; m < deal.micro_batches(); ++m) {
    const auto [begin, end] = deal.range(m, cluster_.rank());
    Batch batch = make_batch(training_set_,
                             update.sequences.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
    model.train(std::move(batch), scale, m + 1 == deal.micro_batches());
  }
  model.finish_gradients();
  gradient_norm_.measure();
  return supervised;
}

std::vector<Trainer::Report> Trainer::exchange_report(int64_t k) {
  Report mine;
  mine.loss_sum = session_.model().loss_sum();
  mine.squared_norm = gradient_norm_.squared();
  mine.comm_wait_seconds = session_.profiler().seconds(Phase::wait);
  mine.peak_device_bytes = session_.device().peak_bytes();
  mine.peak_host_bytes = peak_host_bytes();
  mine.stop_requested = signals::stop_requested() ? 1 : 0;
  mine.save = saving_.report();
  std::vector<Report> reports(static_cast<size_t>(cluster_.size()));
  session_.world().all_gather_host(&mine, reports.data(), sizeof mine, fmt::format("report of step {}", k));
  return reports;
}

StepMetrics Trainer::summarise(int64_t k, const TrainingPlan::Update& update, const std::vector<Report>& reports,
                               int64_t supervised) {
  StepMetrics m;
  m.step = k;
  m.epoch = update.epochs_done;
  m.supervised_tokens = supervised;
  double flops = 0;
  for (const Sequence& sequence : update.sequences)
    for (const int32_t sample : sequence) {
      const int32_t length = training_set_.lengths()[static_cast<size_t>(sample)];
      m.tokens += length;
      ++m.samples;
      flops += flops_.of_document(length);
    }
  double loss_sum = 0, squared_norm = 0;
  for (const Report& report : reports) {
    loss_sum += report.loss_sum;
    m.peak_device_bytes = std::max(m.peak_device_bytes, report.peak_device_bytes);
    m.peak_host_bytes = std::max(m.peak_host_bytes, report.peak_host_bytes);
  }
  // Every shard group holds the whole gradient; the first one's ranks are 0 … S-1.
  for (int r = 0; r < session_.model().group().size(); ++r)
    squared_norm += reports[static_cast<size_t>(r)].squared_norm;
  m.loss = supervised > 0 ? loss_sum / static_cast<double>(supervised) : 0;
  m.grad_norm = std::sqrt(squared_norm);
  m.learning_rate = learning_rate_at(job_.train, k, plan_.total_steps());
  m.comm_wait_seconds = reports.front().comm_wait_seconds - communication_wait_so_far_;
  communication_wait_so_far_ = reports.front().comm_wait_seconds;
  const double end = now();
  m.seconds = end - step_started_;
  step_started_ = end;
  training_seconds_ += m.seconds;
  // No step exceeds the peak; if one seems to, the peak was measured while something else ran.
  gemm_peak_ = std::max(gemm_peak_, flops / m.seconds);
  m.mfu = flops / (m.seconds * gemm_peak_);
  return m;
}

void Trainer::require_finite(const StepMetrics& m) {
  if (std::isfinite(m.loss) && std::isfinite(m.grad_norm)) return;
  observers_.finish();
  if (saving_.running()) finish_saving();
  if (!session_.is_first()) throw FailedElsewhere(ExitCode::bad_data);
  throw DataError(
      "step {}: the loss is {} and the gradient norm {}; stopping before the update. {} Lower learning_rate, add "
      "warm-up, or check the samples of this step (train inspect)",
      m.step, m.loss, m.grad_norm,
      last_saved_ > 0 ? fmt::format("The last checkpoint is that of step {}.", last_saved_)
                      : std::string("There is no checkpoint yet."));
}

void Trainer::step(int64_t k) {
  const TrainingPlan::Update update = plan_.update(k);
  PhaseSeconds phases_before{};
  for (size_t i = 0; i < phases_before.size(); ++i)
    phases_before[i] = session_.profiler().seconds(static_cast<Phase>(i));

  const int64_t supervised = enqueue_micro_batches(k, update);
  session_.model().synchronize();
  if (trace_) trace_->add(session_.profiler().take_stretches());
  const std::vector<Report> reports = exchange_report(k);
  StepMetrics m = summarise(k, update, reports, supervised);
  require_finite(m);
  optimizer_->update(k, m.learning_rate, clip_factor(m.grad_norm, job_.train.max_grad_norm));

  samples_seen_ += m.samples;
  tokens_seen_ += m.tokens;
  stop_ = std::any_of(reports.begin(), reports.end(), [](const Report& r) { return r.stop_requested != 0; });
  for (size_t i = 0; job_.log.profile && i < phases_before.size(); ++i) {
    const auto phase = static_cast<Phase>(i);
    const double spent = session_.profiler().seconds(phase) - phases_before[i];
    m.phases.emplace_back(phase, spent);
    phase_seconds_[i] += spent;
  }
  observers_.step(m);
  collect_save(reports);
}

// ---- evaluation, saving, export ----

void Trainer::evaluate(int64_t step) {
  if (evaluation_.empty()) return;
  const EvaluationResult result = evaluation_.run();
  observers_.evaluation({step, result.loss, result.tokens});
  step_started_ = now();
}

void Trainer::save(int64_t step) {
  if (saving_.running()) finish_saving();
  session_.model().synchronize();
  CheckpointInfo info;
  info.step = step;
  info.epoch = plan_.update(step).epoch;
  info.samples_seen = samples_seen_;
  info.tokens_seen = tokens_seen_;
  info.job = resolved_text(job_);
  info.model_config = session_.spec().config;
  info.data = training_set_.key();
  info.base = base_;
  saving_.begin(info);
}

void Trainer::collect_save(const std::vector<Report>& reports) {
  std::vector<SaveReport> saves;
  saves.reserve(reports.size());
  for (const Report& report : reports) saves.push_back(report.save);
  const auto outcome = saving_.collect(saves);
  if (!outcome) return;
  last_saved_ = outcome->step;
  observers_.save(*outcome);
  if (job_.checkpoint.export_when == Export::every && outcome->step < plan_.total_steps()) export_model(outcome->step);
}

void Trainer::finish_saving() {
  while (saving_.running()) {
    saving_.wait();
    collect_save(exchange_report(saving_.step()));
  }
}

void Trainer::export_model(int64_t step) {
  agree(
      session_.world(), "exporting the model",
      [&] {
        if (!session_.is_first()) return;
        const Path own = step_directory(job_.job.output_dir, step);
        tessera::export_model(job_, step == resumed_step_ ? resumed_directory_ : own);
        log::info("exported step {} to {}", step, job_.checkpoint.export_dir.string());
      },
      Patience::unlimited);
}

void Trainer::write_trace() {
  if (!trace_) return;
  trace_->add(session_.profiler().take_stretches());  // of what followed the last step
  trace_->write(cluster_);
}

}  // namespace tessera
