#pragma once
#include <memory>
#include <optional>

#include "cluster/cluster.h"
#include "data/prepared.h"
#include "job/job.h"
#include "kernels/kernels.h"
#include "model/families/family.h"
#include "shard/memory.h"
#include "shard/sharded_model.h"
#include "text/tokenizer.h"

namespace tessera {

/// Everything that a rank needs for a job, created in this order: the verbs run and evaluate start with it.
/// Constructors are collective and fail on all ranks together (agree()).
class Session {
 public:
  Session(const Job& job, Cluster& cluster);

  const Job& job() const { return job_; }
  Cluster& cluster() { return cluster_; }
  Communicator& world() { return cluster_.world(); }
  bool is_first() const { return cluster_.rank() == 0; }
  Kernels& kernels() { return *kernels_; }
  Device& device() { return *device_; }
  Profiler& profiler() { return *profiler_; }
  ShardedModel& model() { return *model_; }
  const ModelSpec& spec() const { return spec_; }
  const PreparedFile& prepared() const { return prepared_; }
  const MemoryPlan& memory_plan() const { return memory_plan_; }
  /// FLOP/s of this rank's products (trainer/flops.h).
  double gemm_peak() const { return gemm_peak_; }

 private:
  void prepare_data();
  void plan_memory_and_reserve();
  void require_host_memory() const;

  const Job& job_;
  Cluster& cluster_;
  ModelSpec spec_;
  PreparedFile prepared_;
  MemoryPlan memory_plan_;
  double gemm_peak_ = 0;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Profiler> profiler_;
  std::unique_ptr<Kernels> kernels_;
  std::unique_ptr<ShardGroups> groups_;
  std::unique_ptr<ShardedModel> model_;
};

/// model.base's description, with the job's adapter.  Throws JobError where the directory's weights are quantised and
/// the job does not train an adapter on them.
ModelSpec load_job_model(const Job& job);

/// The same for those that compute with the numbers of the directory, dequantised where they are stored so.
ModelSpec load_unquantized_model(const Job& job);

/// What a job asks of its model.  `host_threads`: of a rank.
ShardedModelSettings model_settings(const Job& job, int host_threads);

/// model.tokenizer.  Throws DataError if it has ids beyond the model's vocabulary.
Tokenizer tokenizer_for_model(const Job& job, int64_t vocab_size);

/// The tokenizer of a job's data sets; nothing if all of them are already tokenised.
std::optional<Tokenizer> load_tokenizer(const Job& job, int64_t vocab_size);

/// Makes or finds the prepared file: one rank per host works, the others wait.
PreparedFile prepare_on_cluster(const Job& job, Cluster& cluster, int64_t vocab_size);

}  // namespace tessera
