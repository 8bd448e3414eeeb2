#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "cluster/device_communicator.h"
#include "data/batch.h"
#include "job/job.h"
#include "model/activations.h"
#include "model/head.h"
#include "model/layer.h"
#include "model/rotary_tables.h"
#include "shard/context.h"
#include "shard/device_batch.h"
#include "shard/gathered_units.h"
#include "shard/host_update.h"
#include "shard/stored_layout.h"
#include "shard/unit_gradients.h"

namespace tessera {

/// The ranks that split a model between them, and those that hold the same slices: every strategy is one choice of
/// these.
///   full_shard, shard_grad_op   one group of all ranks, no replicas
///   hybrid_shard                groups of group_size ranks (of one host), replicas across
///   no_shard                    groups of one, all ranks replicas
/// That is what splits all that is trained, and what is frozen beside an adapter; with replicated adapters only the
/// latter, and every rank holds the adapter whole.
struct ShardGroups {
  /// `replicates_adapter`: as the function of that name says.
  ShardGroups(Communicator& world, const ShardSettings& settings, int ranks_per_host, Device& device,
              const CommunicatorSettings& communicators = {}, bool replicates_adapter = false);
  /// Groups that are made already.
  ShardGroups(std::unique_ptr<Communicator> group, std::unique_ptr<Communicator> replicas,
              std::unique_ptr<Communicator> frozen = nullptr)
      : group(std::move(group)), replicas(std::move(replicas)), own_frozen(std::move(frozen)) {}

  Communicator& frozen() const { return own_frozen ? *own_frozen : *group; }

  std::unique_ptr<Communicator> group;
  std::unique_ptr<Communicator> replicas;    ///< null where there are none
  std::unique_ptr<Communicator> own_frozen;  ///< null where frozen weights are split as trained ones are
};

/// Ranks of one of the strategy's groups.  Throws JobError where shard.group_size does not divide the ranks;
/// ShardGroups does too, on every rank at once.
int shard_group_size(const Communicator& world, const ShardSettings& settings, int ranks_per_host);

/// Does every rank hold all that is trained?  As shard.adapter_strategy says, of models with frozen weights alone.
bool replicates_adapter(const ModelSpec& spec, const ShardSettings& settings);

/// A model split over ranks: forward and backward passes over whole batches, unit by unit: gather → compute → release,
/// and in the backward pass compute → reduce-scatter.  Everything is enqueued on two streams (with shard.offload on two
/// more, HostUpdate's) and returns at once; synchronize() waits.
class ShardedModel {
 public:
  /// `parts` outlive it.
  ShardedModel(const RankParts& parts, const ModelSpec& spec, const ShardedModelSettings& settings);
  ~ShardedModel();

  const ShardLayout& layout() const { return layout_; }          ///< of what is trained
  const StoredLayout& stored_layout() const { return stored_; }  ///< and of the rest
  Communicator& frozen_group() { return groups_.frozen(); }      ///< that splits the latter
  const ShardState& state() const { return state_; }
  const ModelSpec& spec() const { return spec_; }
  Stream& compute() { return *compute_; }
  Kernels& kernels() { return kernels_; }
  Profiler& profiler() { return profiler_; }
  Communicator& group() { return *groups_.group; }
  Communicator* replicas() { return groups_.replicas.get(); }
  int64_t max_tokens() const { return activations_.max_tokens(); }

  /// Starts update `step`: gradients and loss are zero.
  void begin_update(int64_t step);
  /// Adds a micro-batch's loss sum, and `scale` times its gradient.  `last`: of the update.  The batch may be empty:
  /// the rank then only takes part in the communication.
  void train(Batch batch, float scale, bool last);
  /// After the last micro-batch: what follows on the compute stream, and what work_on_state() enqueues, waits for every
  /// reduction.
  void finish_gradients();

  /// Work on state() where it lies: work(kernels, stream) enqueues it, on the compute stream with the device's kernels
  /// at once, or with those of the CPU when state_stream() gets there.  What it touches stays alive until then.
  void work_on_state(HostUpdate::Work work);
  Stream& state_stream() { return host_ ? host_->stream() : *compute_; }
  /// Calls make() for stretches that together are the shard; passes and gathers that follow use the new weights.
  void make_weights(const MakeWeights& make);
  /// Makes the compute weights from the master weights.
  void cast_weights();

  /// work(unit, weights) for every unit in turn, while it is gathered: enqueues on compute().
  void visit_units(const std::function<void(size_t unit, const FlatUnit& weights)>& work);

  /// Adds a batch's loss sum, without gradients.
  void evaluate(Batch batch);

  /// Waits for both streams; throws what went wrong in them.
  void synchronize();
  /// Σ cross-entropy on this rank since begin_update() or reset_loss(), up to the last synchronize().
  double loss_sum() const { return loss_sum_.value(); }
  void reset_loss();

 private:
  WeightShard trained_shard() const;
  WeightShard frozen_shard();
  /// The units in the order in which a pass visits them, for looking ahead.
  void plan_visits(bool with_backward);
  FlatUnit visit(size_t unit);  ///< acquires, then prefetches what comes next
  FlatUnit acquire(size_t unit);
  void release(size_t unit);
  void look_ahead(int64_t distance);
  int64_t look_ahead_distance() const;

  /// Takes a batch for one pass, which finish_batch() ends; waits where the host is too far ahead of the device.
  const DeviceBatch& take(Batch batch);
  void finish_batch();
  Documents begin_pass(const DeviceBatch& batch);
  void forward_layers(const Documents& documents, DropoutStep dropout);
  HeadWeights visit_head();
  void release_head();
  FlatUnit gradients(const UnitGradients::Gradient& of) const { return {of.data, context_.reduced}; }
  void train_head(const DeviceBatch& batch, float scale, View d, bool last);
  void backward_layer(size_t layer, const Documents& documents, View d, bool last);
  void embedding_backward(const DeviceBatch& batch, View d, bool last);
  DropoutStep dropout_step() const { return {seed_, step_}; }
  size_t head_unit() const { return layout_.units().size() - 1; }
  const UnitSpec& unit_spec(size_t unit) const { return layout_.units()[unit].spec; }

  Device& device_;
  Kernels& kernels_;
  Profiler& profiler_;
  ShardGroups& groups_;
  const ModelSpec spec_;
  const ShardSettings settings_;
  const Checkpointing checkpointing_;
  const DType dtype_;
  const int64_t seed_;
  int64_t step_ = 0;
  ShardLayout layout_;
  StoredLayout stored_;
  ShardState state_;
  std::unique_ptr<Stream> compute_, communication_;
  std::unique_ptr<HostUpdate> host_;  // with shard.offload
  ShardContext context_;
  GatheredUnits gathered_, frozen_;
  UnitGradients gradients_;
  std::vector<DecoderLayer> layers_;
  LossHead head_;
  ActivationStore activations_;
  RotaryTables rotary_;
  std::unique_ptr<Event> backward_done_;  // for backward_post
  Readback<double> loss_sum_;
  /// A batch on its way through the compute stream.
  struct BatchInUse {
    DeviceBatch batch;
    std::unique_ptr<Event> passed;  // the last kernel that reads it
  };
  std::vector<BatchInUse> batches_;  // taken in turn
  size_t batches_taken_ = 0;
  std::vector<size_t> visits_;  // units, in the order of this pass
  int64_t visit_ = -1;          // where in visits_ the pass is
  int64_t foreseen_ = -1;       // how far it was looked ahead
};

}  // namespace tessera
