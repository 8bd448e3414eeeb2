#include <algorithm>

#include "base/log.h"
#include "base/number.h"
#include "base/size_text.h"
#include "cluster/binding.h"
#include "model/families/family.h"
#include "session/flops.h"
#include "session/session.h"
#include "shard/memory.h"
#include "shard/traffic.h"
#include "verbs/verb.h"

namespace tessera {
namespace {

Placement placement_of(const PlanSettings& plan) {
  const auto ranks = narrow<int>(plan.ranks);
  const int per_host = plan.ranks_per_host > 0 ? narrow<int>(plan.ranks_per_host) : ranks;
  if (ranks % per_host != 0)
    throw JobError("[plan] ranks: {} is not a multiple of ranks_per_host = {}", ranks, per_host);
  return {ranks, per_host};
}

/// Sequences that a rank takes in an update, at most.
int64_t sequences_per_rank(const TrainSettings& train, int64_t ranks) {
  if (train.global_batch_size > 0) return ceil_div(train.global_batch_size, ranks);
  return train.micro_batch_size * train.gradient_accumulation_steps;
}

/// FLOP/s of a rank: plan.flops, or what a rank's share of this machine's CPUs reaches; 0 for a GPU, which may be
/// another one than this machine has.
double compute_rate(const Job& job, const Placement& placement) {
  if (job.plan.flops > 0 || job.plan.device == DeviceType::cuda) return job.plan.flops;
  const auto cpus = narrow<int>(host_cpus().size());
  const int threads =
      job.device.threads > 0 ? narrow<int>(job.device.threads) : threads_of_share(cpus, cpus, placement.ranks_per_host);
  const auto device = make_cpu_device(threads);
  const auto kernels = make_kernels(*device);
  const double rate = gemm_peak(*device, *kernels, compute_dtype(job.model));
  log::info("measured on this machine: {:.3g} FLOP/s with {} thread{}", rate, threads, threads == 1 ? "" : "s");
  return rate;
}

/// Bounds, since both run at the given rates throughout: computing alone, and all that a host sends to others.
void print_time(const Placement& placement, double flops, double flops_rate, const SentBytes& sent, double bandwidth) {
  if (flops_rate == 0) {
    log::info("expected time per step: unknown; set plan.flops to the FLOP/s that a GPU reaches");
    return;
  }
  const double compute = flops / flops_rate;
  const double out = static_cast<double>(sent.between_hosts) * placement.ranks_per_host;
  if (out == 0) {
    log::info("expected time per step: {:.3g} s of compute", compute);
  } else if (bandwidth == 0) {
    log::info(
        "expected time per step: {:.3g} s of compute; network unknown, set plan.bandwidth to the bytes/s of a host",
        compute);
  } else {
    const double network = out / bandwidth;
    log::info(
        "expected time per step: {:.3g} s of compute, {:.3g} s of network; {:.3g} s if they overlap, {:.3g} s "
        "if not",
        compute, network, std::max(compute, network), compute + network);
  }
}

}  // namespace

ExitCode run_plan(VerbContext& context) {
  const Job& job = context.job;
  const ModelSpec spec = load_job_model(job);
  const Placement placement = placement_of(job.plan);
  const bool on_gpu = job.plan.device == DeviceType::cuda;
  const ShardedModelSettings settings = model_settings(job, /*host_threads=*/1);
  const int group_size = shard_group_size(placement, job.shard);
  const MemoryPlan memory = plan_memory(on_gpu ? DeviceKind::cuda : DeviceKind::cpu, spec, settings,
                                        {replicates_adapter(spec, job.shard) ? 1 : group_size, group_size});
  const int64_t sequences = sequences_per_rank(job.train, placement.ranks);
  const int64_t micro_batches = ceil_div(sequences, job.train.micro_batch_size);
  const SentBytes sent = count_traffic(placement, on_gpu ? Route::ring : Route::direct, spec, settings, micro_batches);
  const double flops = static_cast<double>(sequences) * FlopCounter(spec).of_document(job.data.sequence_len);

  log::info("{} on {} rank{}, {} per host; {} sequence{} of {} tokens per rank and step, in {} micro-batch{}",
            weights_text(spec), placement.ranks, placement.ranks == 1 ? "" : "s", placement.ranks_per_host, sequences,
            sequences == 1 ? "" : "s", job.data.sequence_len, micro_batches, micro_batches == 1 ? "" : "es");
  log::info("{}{}", memory.describe(), on_gpu ? "; CUDA, NCCL and the workspaces of cuBLASLt and cuDNN take more" : "");
  log::info("bytes sent per rank and step: {} inside the host, {} between hosts", size_text(sent.inside_host),
            size_text(sent.between_hosts));
  log::info("floating-point operations per rank and step: {:.4g}", flops);
  print_time(placement, flops, compute_rate(job, placement), sent, job.plan.bandwidth);
  return ExitCode::done;
}

}  // namespace tessera
