#include "session/session.h"

#include <algorithm>

#include "base/amount.h"
#include "base/error.h"
#include "base/host_memory.h"
#include "base/log.h"
#include "base/number.h"
#include "base/size_text.h"
#include "cluster/agree.h"
#include "model/adapter.h"
#include "optim/optimizer.h"
#include "session/compute_device.h"
#include "session/flops.h"
#include "session/weight_files.h"

namespace tessera {

Tokenizer tokenizer_for_model(const Job& job, int64_t vocab_size) {
  Tokenizer tokenizer = Tokenizer::load(job.model.tokenizer);
  if (tokenizer.vocab_size() > vocab_size)
    throw DataError("{}: the tokenizer has {} tokens, but the model in {} only {}; use the model's own tokenizer",
                    job.model.tokenizer.string(), tokenizer.vocab_size(), job.model.base.string(), vocab_size);
  return tokenizer;
}

std::optional<Tokenizer> load_tokenizer(const Job& job, int64_t vocab_size) {
  const auto tokenized = [](const std::vector<DatasetSettings>& sets) {
    return std::all_of(sets.begin(), sets.end(),
                       [](const auto& set) { return set.type->kind == DatasetKind::tokenized; });
  };
  if (tokenized(job.datasets) && tokenized(job.eval_datasets)) return std::nullopt;
  return tokenizer_for_model(job, vocab_size);
}

PreparedFile prepare_on_cluster(const Job& job, Cluster& cluster, int64_t vocab_size) {
  PreparedFile file;
  const auto make = [&] {
    const std::optional<Tokenizer> tokenizer = load_tokenizer(job, vocab_size);
    file = prepare(job, tokenizer ? &*tokenizer : nullptr, vocab_size);
  };
  Communicator& world = cluster.world();
  agree(
      world, "preparing the data",
      [&] {
        if (cluster.rank() == 0) make();
      },
      Patience::unlimited);
  // The other hosts find rank 0's file on a shared disk, or make their own.
  agree(
      world, "preparing the data",
      [&] {
        if (cluster.rank() != 0 && cluster.local_rank() == 0) make();
      },
      Patience::unlimited);
  std::string path = file.path.string();
  auto length = static_cast<int64_t>(path.size());
  world.broadcast_host(&length, sizeof length, 0, "broadcast of the prepared file's name");
  path.resize(static_cast<size_t>(length));
  world.broadcast_host(path.data(), length, 0, "broadcast of the prepared file's name");
  file.path = path;
  return file;
}

namespace {

Storage storage_of_base(const ModelSettings& model) {
  switch (model.quantization) {
    case Quantization::none:
      return Storage::frozen;
    case Quantization::nf4:
      return model.double_quantization ? Storage::nf4_double : Storage::nf4;
    case Quantization::int8:
      return Storage::int8;
  }
  throw std::logic_error("the base is quantised in no known way");
}

}  // namespace

ModelSpec load_job_model(const Job& job) {
  ModelSpec spec = load_model(job.model.base);
  if (!spec.quantized_files || job.model.init != Init::pretrained) {
    add_adapter(spec, job.adapter, [&](const std::string&) { return storage_of_base(job.model); });
    return spec;
  }
  if (job.adapter.type == AdapterType::none || job.model.quantization != Quantization::nf4)
    throw JobError(
        "[model] base: the weights in {} are quantised; set [model] quantization = nf4 and [adapter] type = lora to "
        "train an adapter on them",
        job.model.base.string());
  const PretrainedWeights weights(job.model.base, spec);
  add_adapter(spec, job.adapter, [&](const std::string& module) {
    const Nf4Tensor* const matrix = weights.nf4(module + ".weight");
    return matrix == nullptr ? Storage::frozen : matrix->is_double() ? Storage::nf4_double : Storage::nf4;
  });
  return spec;
}

ModelSpec load_unquantized_model(const Job& job) {
  ModelSpec spec = load_model(job.model.base);
  add_adapter(spec, job.adapter);
  return spec;
}

ShardedModelSettings model_settings(const Job& job, int host_threads) {
  // The layers of an adapter are small: a message of each would cost a network's latency again and again.  4 MiB of
  // gradient take a multiple of it.
  constexpr int64_t adapter_bucket = 1 << 20;
  return {.shard = job.shard,
          .model = job.model,
          .optimizer = optimizer_states(job.train),
          .max_tokens = job.train.micro_batch_size * job.data.sequence_len,
          .longest = job.data.sequence_len,
          .seed = job.job.seed,
          .least_bucket = job.adapter.type == AdapterType::none ? 0 : adapter_bucket,
          .host_threads = host_threads};
}

Session::Session(const Job& job, Cluster& cluster) : job_(job), cluster_(cluster) {
  agree(world(), "reading the model's configuration", [&] { spec_ = load_job_model(job); });
  prepare_data();
  device_ = make_compute_device(job, cluster);
  agree(world(), "setting up", [&] {
    profiler_ = std::make_unique<Profiler>(*device_);
    if (!job.log.trace.empty()) profiler_->keep_stretches();
    kernels_ = make_kernels(*device_, {job.device.deterministic});
    gemm_peak_ = tessera::gemm_peak(*device_, *kernels_, compute_dtype(job.model));
    if (job.log.profile || !job.log.trace.empty()) kernels_->profile(*profiler_);
  });
  agree(world(), "checking the shard groups", [&] { shard_group_size(world(), job.shard, cluster.local_size()); });
  // Splits the communicator: the ranks do it together, outside agree().
  groups_ =
      std::make_unique<ShardGroups>(world(), job.shard, cluster.local_size(), *device_,
                                    CommunicatorSettings{job.device.share, narrow<int>(job.network.nccl_max_ctas)},
                                    replicates_adapter(spec_, job.shard));
  agree(world(), "allocating memory", [&] {
    plan_memory_and_reserve();
    model_ = std::make_unique<ShardedModel>(RankParts{*device_, *kernels_, *profiler_, *groups_}, spec_,
                                            model_settings(job, compute_threads(job, cluster_)));
  });
}

void Session::plan_memory_and_reserve() {
  const GroupSizes ranks{groups_->group->size(), groups_->frozen().size()};
  const ShardedModelSettings settings = model_settings(job_, compute_threads(job_, cluster_));
  memory_plan_ = plan_memory(device_->kind(), spec_, settings, ranks);
  plan_device(memory_plan_, *kernels_, largest_shapes(spec_, settings, ranks.trained));
  require_host_memory();
  constexpr int64_t most_gap = 256;  // between two buffers; a layer has less than 16 of them, all else less than 64
  device_->reserve((Amount(memory_plan_.total()) + most_gap * (64 + 16 * spec_.L())).value(), memory_plan_.describe());
}

/// A job that exceeds the host's memory is refused here in its own terms: the system may grant the allocation and kill
/// the process later.
void Session::require_host_memory() const {
  const Amount of_a_rank =
      Amount(memory_plan_.host) + (device_->kind() == DeviceKind::cpu ? memory_plan_.total() : int64_t{0});
  const int64_t there = host_memory_bytes();
  const int ranks = cluster_.local_size();
  if (of_a_rank * int64_t{ranks} <= there) return;
  throw JobError(
      "the job does not fit into the memory of host {}: {} for {} rank{}; {}. Try [train] micro_batch_size = 1, a "
      "smaller "
      "[data] "
      "sequence_len, [model] gradient_checkpointing = full, or more hosts.",
      cluster_.host(), size_text(there), ranks, ranks == 1 ? "" : "s", memory_plan_.describe());
}

void Session::prepare_data() {
  prepared_ = prepare_on_cluster(job_, cluster_, spec_.V);
  if (is_first() && !prepared_.summary.empty()) log::info("{}", prepared_.summary);
}

}  // namespace tessera
