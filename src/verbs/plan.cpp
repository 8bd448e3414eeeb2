#include <algorithm>

#include "base/log.h"
#include "base/number.h"
#include "base/size_text.h"
#include "model/families/family.h"
#include "session/flops.h"
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

/// Computing, and sending beside it, at the rates that are given.
void print_time(const PlanSettings& plan, const Placement& placement, double flops, const Traffic& traffic) {
  const double compute = plan.flops > 0 ? flops / plan.flops : 0;
  const double out = static_cast<double>(traffic.between_hosts) * placement.ranks_per_host;
  const double network = plan.network > 0 ? out / plan.network : 0;
  if (plan.flops > 0) log::info("compute: {:.3g} s at {:.3g} FLOP/s per rank", compute, plan.flops);
  if (plan.network > 0) log::info("network: {:.3g} s at {:.3g} bytes/s per host", network, plan.network);
  if (plan.flops > 0 && (plan.network > 0 || traffic.between_hosts == 0))
    log::info("expected time per step: {:.3g} s with communication behind compute, {:.3g} s one after the other",
              std::max(compute, network), compute + network);
}

}  // namespace

ExitCode run_plan(VerbContext& context) {
  const Job& job = context.job;
  const ModelSpec spec = load_model(job.model.base);
  const Placement placement = placement_of(job.plan);
  const DeviceKind kind = job.plan.device == DeviceType::cuda ? DeviceKind::cuda : DeviceKind::cpu;
  const int64_t max_tokens = (Amount(job.train.micro_batch_size) * job.data.sequence_len).value();
  const MemoryPlan memory =
      plan_memory(kind, spec, job.shard, job.model, shard_group_size(placement, job.shard), max_tokens);
  const int64_t sequences = sequences_per_rank(job.train, placement.ranks);
  const int64_t micro_batches = ceil_div(sequences, job.train.micro_batch_size);
  const Traffic traffic = count_traffic(placement, spec, job.shard, job.model, max_tokens, micro_batches);
  const double flops = static_cast<double>(sequences) * FlopCounter(spec).of_document(job.data.sequence_len);

  log::info("{} weights on {} rank{}, {} per host; up to {} sequences of {} tokens per rank and step",
            parameter_count(spec), placement.ranks, placement.ranks == 1 ? "" : "s", placement.ranks_per_host,
            sequences, job.data.sequence_len);
  log::info("{}{}", memory.describe(),
            kind == DeviceKind::cuda ? "; beside it CUDA, NCCL and the workspaces of cuBLASLt and cuDNN" : "");
  log::info("sent per rank and step: {} inside the host, {} between hosts", size_text(traffic.inside_host),
            size_text(traffic.between_hosts));
  log::info("floating-point operations per rank and step: {:.4g}", flops);
  print_time(job.plan, placement, flops, traffic);
  return ExitCode::done;
}

}  // namespace tessera
