#include "shard/unit_gradients.h"

#include <fmt/format.h>

#include <algorithm>

namespace tessera {

UnitGradients::UnitGradients(Device& device, Kernels& kernels, Communicator& group, Communicator* replicas,
                             const ShardLayout& layout, const ShardState& state, bool tied, Stream& compute,
                             Stream& communication, Profiler& profiler)
    : kernels_(kernels),
      group_(group),
      replicas_(replicas),
      layout_(layout),
      shard_(state.gradient.as<float>()),
      compute_(compute),
      communication_(communication),
      profiler_(profiler),
      computed_(device.make_event()),
      all_reduced_(device.make_event()) {
  if (group.size() == 1) return;
  const auto& units = layout.units();
  const auto make_slot = [&](int64_t elements) {
    return Slot{Buffer(device, DType::f32, 1, elements, "unit gradients"), device.make_event()};
  };
  for (size_t i = 0; i < std::min<size_t>(2, units.size() - 2); ++i) layers_.push_back(make_slot(units[1].padded));
  // An untied head is reduced long before the embedding's gradient is made: they take turns in one buffer.
  embedding_ = make_slot(tied ? units.front().padded : std::max(units.front().padded, units.back().padded));
  if (tied) head_ = make_slot(units.back().padded);
}

UnitGradients::Slot& UnitGradients::slot_of(size_t unit) {
  if (unit == 0) return embedding_;
  if (unit + 1 == layout_.units().size()) return head_.reduced ? head_ : embedding_;
  return layers_[unit % layers_.size()];
}

void UnitGradients::begin_update(int64_t step) {
  step_ = step;
  fresh_.assign(layout_.units().size(), true);
}

void UnitGradients::zero(float* gradient, int64_t begin, int64_t end) {
  kernels_.fill_zero(compute_, gradient + begin, (end - begin) * size_of(DType::f32));
}

UnitGradients::Gradient UnitGradients::acquire(size_t unit, Matrices matrices) {
  const UnitShard& shard = layout_.units()[unit];
  const bool fresh = fresh_[unit];
  fresh_[unit] = false;
  float* gradient = shard_ + shard.begin;
  if (group_.size() > 1) {
    Slot& slot = slot_of(unit);
    profiler_.begin(compute_, Phase::wait);
    slot.reduced->wait(compute_);
    profiler_.end(compute_, Phase::wait);
    gradient = slot.buffer.as<float>();
    if (!fresh) begin_with_shard(shard, gradient);
  }
  if (!fresh) return {gradient, Write::accumulate};
  if (matrices == Matrices::added) {
    zero(gradient, 0, shard.padded);
    return {gradient, Write::accumulate};
  }
  for (const TensorSpec& tensor : shard.spec.tensors)
    if (tensor.shape.size() == 1) zero(gradient, tensor.offset, tensor.offset + tensor.size());
  zero(gradient, shard.spec.size, shard.padded);
  return {gradient, Write::overwrite};
}

void UnitGradients::begin_with_shard(const UnitShard& shard, float* gradient) {
  const int64_t own = shard.slice * group_.rank(), after = own + shard.slice;
  zero(gradient, 0, own);
  kernels_.copy(compute_, shard_ + shard.begin, gradient + own, shard.slice * size_of(DType::f32));
  zero(gradient, after, shard.padded);
}

float* UnitGradients::acquired(size_t unit) {
  return group_.size() == 1 ? shard_ + layout_.units()[unit].begin : slot_of(unit).buffer.as<float>();
}

void UnitGradients::reduce(size_t unit, bool last) {
  const UnitShard& shard = layout_.units()[unit];
  const bool sum_replicas = last && replicas_ != nullptr;
  if (group_.size() == 1 && !sum_replicas) return;
  computed_->record(compute_);
  computed_->wait(communication_);
  const CollectiveName name = fmt::format("reduce_scatter({}) of step {}", shard.spec.name, step_);
  profiler_.begin(communication_, Phase::reduce, name);
  float* slice = shard_ + shard.begin;
  if (group_.size() > 1) {
    Slot& slot = slot_of(unit);
    group_.reduce_scatter(communication_, slot.buffer.as<float>(), slice, shard.slice, name);
    slot.reduced->record(communication_);
  }
  if (sum_replicas)
    replicas_->all_reduce(communication_, slice, shard.slice,
                          fmt::format("all_reduce({}) of step {}", shard.spec.name, step_));
  profiler_.end(communication_, Phase::reduce);
}

void UnitGradients::wait_all() {
  all_reduced_->record(communication_);
  profiler_.begin(compute_, Phase::wait);
  all_reduced_->wait(compute_);
  profiler_.end(compute_, Phase::wait);
}

}  // namespace tessera
