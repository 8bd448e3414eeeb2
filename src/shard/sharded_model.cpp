#include "shard/sharded_model.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/number.h"
#include "shard/memory.h"
#include "shard/prefetch.h"

namespace tessera {

int shard_group_size(const Communicator& world, const ShardSettings& settings, int ranks_per_host) {
  switch (settings.strategy) {
    case Strategy::no_shard:
      return 1;
    case Strategy::full_shard:
    case Strategy::shard_grad_op:
      return world.size();
    case Strategy::hybrid_shard:
      break;
  }
  const int size = settings.group_size > 0 ? narrow<int>(settings.group_size) : ranks_per_host;
  if (world.size() % size != 0)
    throw JobError("[shard] hybrid_shard: {} ranks cannot be cut into groups of {}; set group_size to a divisor",
                   world.size(), size);
  return size;
}

ShardGroups::ShardGroups(Communicator& world, const ShardSettings& settings, int ranks_per_host, Device& device,
                         const CommunicatorSettings& communicators, bool replicates_adapter) {
  const int size = shard_group_size(world, settings, ranks_per_host);
  const auto ranks_of_one = [&](int group_number, const char* name) {
    return communicator_for(device, world.split(group_number, name), communicators);
  };
  if (replicates_adapter) own_frozen = ranks_of_one(world.rank() / size, "shard group");
  const int trained_size = replicates_adapter ? 1 : size;
  group = ranks_of_one(world.rank() / trained_size, replicates_adapter ? "adapter" : "shard group");
  if (trained_size < world.size()) replicas = ranks_of_one(world.rank() % trained_size, "replicas");
}

bool replicates_adapter(const ModelSpec& spec, const ShardSettings& settings) {
  constexpr int64_t most_bytes = 256'000'000;  // of the adapter in fp32, as its gradients cross the network
  if (parameter_count(spec, Band::frozen) == 0 || settings.adapter_strategy == AdapterStrategy::sharded) return false;
  return settings.adapter_strategy == AdapterStrategy::replicated ||
         parameter_count(spec, Band::trained) * size_of(DType::f32) < most_bytes;
}

ShardedModel::ShardedModel(const RankParts& parts, const ModelSpec& spec, const ShardedModelSettings& settings)
    : device_(parts.device),
      kernels_(parts.kernels),
      profiler_(parts.profiler),
      groups_(parts.groups),
      spec_(spec),
      settings_(settings.shard),
      checkpointing_(settings.model.gradient_checkpointing),
      dtype_(compute_dtype(settings.model)),
      seed_(settings.seed),
      layout_(spec_, groups_.group->rank(), groups_.group->size(), blocks_of(settings.optimizer),
              settings.least_bucket),
      stored_(spec_, dtype_, groups_.frozen().size()),
      state_(device_, layout_, stored_.size(), dtype_, settings_.offload, settings.optimizer),
      compute_(device_.make_stream("compute")),
      communication_(device_.make_stream("communication")),
      host_(settings_.offload == Offload::none
                ? nullptr
                : std::make_unique<HostUpdate>(device_, layout_, state_, profiler_, settings.host_threads)),
      context_{device_,
               kernels_,
               profiler_,
               *groups_.group,
               groups_.replicas.get(),
               layout_,
               state_,
               dtype_of(settings_.reduce_dtype),
               *compute_,
               *communication_,
               host_ ? &host_->transfer() : nullptr},
      gathered_(context_, trained_shard(), gathered_at_once(settings_, layout_.unit_specs())),
      frozen_(context_, frozen_shard(), gathered_at_once(settings_, layout_.unit_specs())),
      gradients_(context_, gradients_at_once(layout_.unit_specs())),
      layers_(make_layers(spec_, layout_.unit_specs(), dtype_)),
      head_(device_, kernels_, spec_, dtype_, settings.max_tokens),
      activations_(device_, activation_sizes(spec_, settings.model, settings.max_tokens), slots_of(layers_)),
      rotary_(device_, spec_, settings.max_tokens),
      backward_done_(device_.make_event()),
      loss_sum_(device_, "loss") {
  kernels_.reserve(largest_shapes(spec_, settings, groups_.group->size()));
  for (int64_t i = 0; i < batches_ahead; ++i)
    batches_.push_back({DeviceBatch(device_, settings.max_tokens), device_.make_event()});
}

WeightShard ShardedModel::trained_shard() const {
  WeightShard shard{*groups_.group, static_cast<char*>(state_.weights().data), state_.weights_place};
  const int64_t bytes = size_of(dtype_);
  for (const Bucket& bucket : layout_.buckets())
    shard.messages.push_back({bucket.name, bucket.padded * bytes, bucket.slice * bytes, bucket.begin * bytes});
  for (const UnitShard& unit : layout_.units()) shard.units.push_back({unit.bucket, unit.offset * bytes});
  return shard;
}

WeightShard ShardedModel::frozen_shard() {
  WeightShard shard{groups_.frozen(), state_.frozen.as<char>(), state_.weights_place};
  for (const StoredUnit& unit : stored_.units()) {
    shard.units.push_back({shard.messages.size()});
    shard.messages.push_back({"base of " + unit.spec.name, unit.padded, unit.slice, unit.begin,
                              unit.packed ? unit.spec.size(Band::frozen) * size_of(dtype_) : 0});
  }
  shard.unpack = [this](Stream& stream, size_t unit, const void* gathered, void* to) {
    unpack(kernels_, stream, stored_.units()[unit], gathered, to, dtype_);
  };
  return shard;
}

ShardedModel::~ShardedModel() {
  try {
    synchronize();  // what is enqueued uses the buffers
  } catch (const std::exception&) {
    // The streams' error has been thrown to whoever waited for them.  Their host code may still run, and uses the
    // buffers: it has ended when its stream is gone.
    host_.reset();
    communication_.reset();
    compute_.reset();
  }
}

void ShardedModel::reset_loss() { kernels_.memory.fill_zero(*compute_, loss_sum_.for_kernels(), sizeof(double)); }

void ShardedModel::begin_update(int64_t step) {
  reset_loss();
  gathered_.set_step(step);
  frozen_.set_step(step);
  gradients_.begin_update(step);
  step_ = step;
}

void ShardedModel::synchronize() {
  // All, so that nothing runs on when one has failed; communication last, as its errors name a rank.
  std::vector<Stream*> streams = {compute_.get(), communication_.get()};
  if (host_) streams.insert(streams.begin(), {&host_->stream(), &host_->transfer()});
  std::exception_ptr error;
  try {
    loss_sum_.fetch(*compute_);
  } catch (...) {
    error = std::current_exception();
  }
  for (Stream* stream : streams) {
    try {
      stream->synchronize();
    } catch (...) {
      error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
  profiler_.collect(*compute_);
}

// ---- visits ----

void ShardedModel::plan_visits(bool with_backward) {
  visits_ = visits_of_pass(layout_.units().size(), with_backward);
  visit_ = foreseen_ = -1;
}

int64_t ShardedModel::look_ahead_distance() const {
  const bool in_forward = visit_ < static_cast<int64_t>(head_unit());
  const bool wanted =
      in_forward ? settings_.forward_prefetch : settings_.backward_prefetch == BackwardPrefetch::backward_pre;
  return wanted ? furthest_look_ahead(settings_, spec_.L()) : 0;
}

void ShardedModel::look_ahead(int64_t distance) {
  const int64_t end = std::min(visit_ + distance, static_cast<int64_t>(visits_.size()) - 1);
  for (foreseen_ = std::max(foreseen_, visit_); foreseen_ < end; ++foreseen_) {
    const size_t next = visits_[static_cast<size_t>(foreseen_ + 1)];
    if (!gathered_.can_prefetch(next) || !frozen_.can_prefetch(next)) return;
    frozen_.prefetch(next);
    gathered_.prefetch(next);
  }
}

FlatUnit ShardedModel::visit(size_t unit) {
  ++visit_;
  const FlatUnit flat = acquire(unit);
  look_ahead(look_ahead_distance());
  return flat;
}

FlatUnit ShardedModel::acquire(size_t unit) {
  void* const frozen = frozen_.acquire(unit);
  return {gathered_.acquire(unit), dtype_, frozen};
}

void ShardedModel::release(size_t unit) {
  frozen_.release(unit);
  gathered_.release(unit);
}

void ShardedModel::visit_units(const std::function<void(size_t unit, const FlatUnit& weights)>& work) {
  plan_visits(/*with_backward=*/false);
  for (const size_t unit : visits_) {
    work(unit, visit(unit));
    release(unit);
  }
}

// ---- passes ----

const DeviceBatch& ShardedModel::take(Batch batch) {
  if (batch.size() > max_tokens())
    throw DataError("a micro-batch has {} tokens, there is room for {}", batch.size(), max_tokens());
  BatchInUse& taken = batches_[batches_taken_++ % batches_.size()];
  taken.passed->synchronize();
  taken.batch.fill(*compute_, std::move(batch));
  return taken.batch;
}

void ShardedModel::finish_batch() { batches_[(batches_taken_ - 1) % batches_.size()].passed->record(*compute_); }

Documents ShardedModel::begin_pass(const DeviceBatch& batch) {
  Documents documents = batch.documents();
  documents.rotary = rotary_.fill(kernels_, *compute_, batch.positions(), documents);
  const View table = embedding_table(spec_, unit_spec(0), visit(0));
  kernels_.embedding.forward(*compute_, batch.tokens(), table, activations_.hidden(0, batch.size()),
                             embedding_factor(spec_, dtype_));
  release(0);
  return documents;
}

void ShardedModel::forward_layers(const Documents& documents, DropoutStep dropout) {
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    const Pass pass{kernels_, *compute_, documents, visit(i + 1), dropout};
    layers_[i].forward(pass, activations_.layer(number, documents.T), activations_.hidden(number + 1, documents.T));
    release(i + 1);
  }
}

HeadWeights ShardedModel::visit_head() {
  const FlatUnit flat = visit(head_unit());
  const auto borrowed = unit_spec(head_unit()).borrows;
  const View table = borrowed ? embedding_table(spec_, unit_spec(*borrowed), acquire(*borrowed)) : View{};
  return head_weights(spec_, unit_spec(head_unit()), flat, table);
}

void ShardedModel::release_head() {
  release(head_unit());
  if (const auto borrowed = unit_spec(head_unit()).borrows) release(*borrowed);
}

void ShardedModel::train_head(const DeviceBatch& batch, float scale, View d, bool last) {
  const HeadWeights w = visit_head();
  using Matrices = UnitGradients::Matrices;
  const auto unit = gradients_.acquire(head_unit(), Matrices::overwritten);
  const auto borrowed = unit_spec(head_unit()).borrows;
  const auto table = borrowed ? gradients_.acquire(*borrowed, Matrices::overwritten) : UnitGradients::Gradient{};
  const HeadWeights dw = head_weights(spec_, unit_spec(head_unit()), gradients(unit),
                                      embedding_table(spec_, unit_spec(0), gradients(table)));
  head_.forward_backward(*compute_, activations_.hidden(spec_.L(), batch.size()), w, batch.supervised(), scale,
                         loss_sum_.for_kernels(), d, dw, borrowed ? table.matrices : unit.matrices);
  release_head();
  gradients_.reduce(head_unit(), last);
}

void ShardedModel::backward_layer(size_t layer, const Documents& documents, View d, bool last) {
  const size_t unit = layer + 1;
  const Pass pass{kernels_, *compute_, documents, visit(unit), dropout_step()};
  const LayerActivations a = activations_.layer(static_cast<int64_t>(layer), documents.T);
  if (unit + 1 < head_unit()) {  // what the last layer's forward pass left is still there
    if (checkpointing_ == Checkpointing::full) layers_[layer].recompute(pass, a);
    if (checkpointing_ == Checkpointing::selective) layers_[layer].recompute_norms(pass, a);
  }
  const auto gradient = gradients_.acquire(unit, UnitGradients::Matrices::overwritten);
  layers_[layer].backward({pass, gradients(gradient), gradient.matrices}, a, d);
  release(unit);
  if (settings_.backward_prefetch == BackwardPrefetch::backward_post) {
    backward_done_->record(*compute_);
    backward_done_->wait(*communication_);
    look_ahead(1);
  }
  gradients_.reduce(unit, last);
}

void ShardedModel::embedding_backward(const DeviceBatch& batch, View d, bool last) {
  const auto gradient = gradients_.acquire(0, UnitGradients::Matrices::added);  // a tied head has begun it
  if (const View table = embedding_table(spec_, unit_spec(0), gradients(gradient)))
    kernels_.embedding.backward(*compute_, batch.tokens(), d, table, embedding_factor(spec_, dtype_),
                                spec_.padding_token);
  gradients_.reduce(0, last);
}

void ShardedModel::train(Batch host_batch, float scale, bool last) {
  const DeviceBatch& batch = take(std::move(host_batch));
  const View d = activations_.residual_gradient(batch.size());
  plan_visits(/*with_backward=*/true);
  profiler_.begin(*compute_, Phase::forward);
  const Documents documents = begin_pass(batch);
  forward_layers(documents, dropout_step());
  profiler_.end(*compute_, Phase::forward);
  profiler_.begin(*compute_, Phase::backward);
  train_head(batch, scale, d, last);
  for (size_t layer = static_cast<size_t>(spec_.L()); layer-- > 0;) backward_layer(layer, documents, d, last);
  embedding_backward(batch, d, last);
  profiler_.end(*compute_, Phase::backward);
  finish_batch();
}

void ShardedModel::evaluate(Batch host_batch) {
  const DeviceBatch& batch = take(std::move(host_batch));
  plan_visits(/*with_backward=*/false);
  forward_layers(begin_pass(batch), /*dropout=*/{});
  const HeadWeights w = visit_head();
  head_.forward(*compute_, activations_.hidden(spec_.L(), batch.size()), w, batch.supervised(),
                loss_sum_.for_kernels());
  release_head();
  finish_batch();
}

void ShardedModel::finish_gradients() {
  gradients_.wait_all();
  if (host_) host_->follow(*compute_);
}

// ---- the state ----

void ShardedModel::work_on_state(HostUpdate::Work work) {
  if (host_) {
    host_->run(std::move(work));
  } else {
    work(kernels_, *compute_);
  }
}

void ShardedModel::make_weights(const MakeWeights& make) {
  gathered_.weights_change();
  if (host_) {
    host_->follow(*compute_);
    host_->make_weights(make, [this](size_t bucket, Stream& stream) { gathered_.weights_made(bucket, stream); });
    return;
  }
  make(kernels_, *compute_, 0, state_.size, state_.weights());
  for (size_t bucket = 0; bucket < layout_.buckets().size(); ++bucket) gathered_.weights_made(bucket, *compute_);
}

void ShardedModel::cast_weights() {
  make_weights([this](Kernels& kernels, Stream& stream, int64_t begin, int64_t end, View weights) {
    const View master = state_.master.view().cols_from(begin, end - begin);
    if (weights.data != master.data) kernels.memory.cast(stream, master, weights);
  });
}

}  // namespace tessera
