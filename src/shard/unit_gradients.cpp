#include "shard/unit_gradients.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <numeric>
#include <set>
#include <utility>

namespace tessera {

UnitGradients::UnitGradients(const ShardContext& context, const UnitsAtOnce& at_once)
    : kernels_(context.kernels),
      group_(context.group),
      replicas_(context.replicas),
      layout_(context.layout),
      shard_(context.state.gradient.as<float>()),
      type_(context.reduced),
      compute_(context.compute),
      communication_(context.communication),
      transfer_(context.transfer),
      profiler_(context.profiler),
      computed_(context.device.make_event()),
      all_reduced_(context.device.make_event()),
      slot_of_(layout_.units().size(), 0),
      next_in_slot_(layout_.units().size(), no_unit),
      begun_(layout_.units().size(), false) {
  if (group_.size() == 1 && transfer_ == nullptr) return;
  std::vector<int64_t> sizes;
  for (const UnitShard& unit : layout_.units()) sizes.push_back(unit.padded);
  for (const UnitPool& pool : make_unit_pools(sizes, at_once)) {
    const size_t first_slot = slots_.size();
    for (int64_t i = 0; i < pool.slots; ++i) slots_.push_back(make_slot(context.device, pool.size));
    give_slots(pool, first_slot, at_once);
  }
}

/// In the order in which the units get their gradients, each takes the slot that has been free for longest.
void UnitGradients::give_slots(const UnitPool& pool, size_t first_slot, const UnitsAtOnce& at_once) {
  std::vector<size_t> last_in_slot(static_cast<size_t>(pool.slots), no_unit);
  std::deque<size_t> by_last_use(last_in_slot.size());
  std::iota(by_last_use.begin(), by_last_use.end(), size_t{0});
  std::set<size_t> given;
  for (const std::vector<size_t>& in_use : at_once)
    for (const size_t unit : in_use) {
      if (std::ranges::find(pool.units, unit) == pool.units.end() || !given.insert(unit).second) continue;
      const auto free = std::ranges::find_if(
          by_last_use, [&](size_t slot) { return std::ranges::find(in_use, last_in_slot[slot]) == in_use.end(); });
      const size_t slot = *free;
      by_last_use.erase(free);
      by_last_use.push_back(slot);
      slot_of_[unit] = first_slot + slot;
      if (last_in_slot[slot] != no_unit) next_in_slot_[last_in_slot[slot]] = unit;
      last_in_slot[slot] = unit;
    }
}

UnitGradients::Slot UnitGradients::make_slot(Device& device, int64_t elements) const {
  Slot slot;
  slot.buffer = Buffer(device, type_, 1, elements, "unit gradients");
  if (transfer_ != nullptr && group_.size() > 1)
    slot.slice = Buffer(device, type_, 1, elements / group_.size(), "unit gradients");
  slot.reduced = device.make_event();
  slot.filled = device.make_event();
  slot.summed = device.make_event();
  return slot;
}

float* UnitGradients::place_of(size_t unit) {
  return has_slots() ? slot_of(unit).buffer.as<float>() : shard_ + layout_.units()[unit].begin;
}

void UnitGradients::begin_update(int64_t step) {
  step_ = step;
  fresh_.assign(layout_.units().size(), true);
  begun_.assign(layout_.units().size(), false);
}

void UnitGradients::zero(Stream& stream, float* gradient, int64_t begin, int64_t end) {
  kernels_.memory.fill_zero(stream, gradient + begin, (end - begin) * size_of(type_));
}

void UnitGradients::wait_on_compute(Event& event) {
  profiler_.begin(compute_, Phase::wait);
  event.wait(compute_);
  profiler_.end(compute_, Phase::wait);
}

UnitGradients::Gradient UnitGradients::acquire(size_t unit, Matrices matrices) {
  const UnitShard& shard = layout_.units()[unit];
  if (shard.padded == 0) return {nullptr, Write::overwrite};
  float* gradient = place_of(unit);
  if (begun_[unit]) return {gradient, Write::accumulate};
  begun_[unit] = true;
  const bool fresh = fresh_[unit];
  fresh_[unit] = false;
  if (has_slots()) {
    Slot& slot = slot_of(unit);
    if (fresh || transfer_ == nullptr) wait_on_compute(*slot.reduced);
    if (!fresh) begin_with_shard(unit);
    if (!fresh && transfer_ != nullptr) wait_on_compute(*slot.filled);
  }
  if (!fresh) return {gradient, Write::accumulate};
  if (matrices == Matrices::added) {
    zero(compute_, gradient, 0, shard.padded);
    return {gradient, Write::accumulate};
  }
  zero_between_matrices(shard, gradient);
  return {gradient, Write::overwrite};
}

void UnitGradients::zero_between_matrices(const UnitShard& shard, float* gradient) {
  int64_t begin = 0;
  const auto zero_until = [&](int64_t end) {
    if (end > begin) zero(compute_, gradient, begin, end);
  };
  for (const TensorSpec& tensor : shard.spec.tensors) {
    if (tensor.band() != Band::trained || tensor.shape.size() == 1) continue;
    zero_until(tensor.offset);
    begin = tensor.offset + tensor.size();
  }
  zero_until(shard.padded);
}

void UnitGradients::begin_with_shard(size_t unit) {
  const UnitShard& shard = layout_.units()[unit];
  Slot& slot = slot_of(unit);
  if (std::exchange(slot.filled_for, no_unit) == unit) return;  // ahead of time, by fill_from_host()
  if (transfer_ != nullptr) return fill_from_host(slot, shard);
  float* gradient = slot.buffer.as<float>();
  const int64_t own = shard.slice * group_.rank();
  zero_others(compute_, shard, gradient);
  kernels_.memory.copy(compute_, shard_ + shard.begin, gradient + own, shard.slice * size_of(type_));
}

void UnitGradients::zero_others(Stream& stream, const UnitShard& shard, float* gradient) {
  const int64_t own = shard.slice * group_.rank();
  zero(stream, gradient, 0, own);
  zero(stream, gradient, own + shard.slice, shard.padded);
}

void UnitGradients::fill_from_host(Slot& slot, const UnitShard& shard) {
  float* gradient = slot.buffer.as<float>();
  slot.reduced->wait(*transfer_);
  zero_others(*transfer_, shard, gradient);
  profiler_.begin(*transfer_, Phase::copy, fmt::format("gradient of {} from the host", shard.spec.name));
  transfer_->transfer(shard_ + shard.begin, gradient + shard.slice * group_.rank(), shard.slice * size_of(type_));
  profiler_.end(*transfer_, Phase::copy);
  slot.filled->record(*transfer_);
}

/// The unit that takes the slot after this one gets its part from the host while others compute.
void UnitGradients::fill_ahead(size_t unit) {
  const size_t next = next_in_slot_[unit];
  if (transfer_ == nullptr || next == no_unit || fresh_[next]) return;
  Slot& slot = slot_of(next);
  fill_from_host(slot, layout_.units()[next]);
  slot.filled_for = next;
}

void UnitGradients::reduce(size_t unit, bool last) {
  begun_[unit] = false;
  const UnitShard& shard = layout_.units()[unit];
  if (shard.padded == 0) return;
  const bool sum_replicas = last && replicas_ != nullptr;
  if (!has_slots() && !sum_replicas) return;
  computed_->record(compute_);
  computed_->wait(communication_);
  const CollectiveName name = fmt::format("reduce_scatter({}) of step {}", shard.spec.name, step_);
  profiler_.begin(communication_, Phase::reduce, name);
  float* sum = transfer_ == nullptr ? shard_ + shard.begin : place_of(unit);
  if (group_.size() > 1) {
    if (transfer_ != nullptr) sum = slot_of(unit).slice.as<float>();
    group_.reduce_scatter(communication_, place_of(unit), sum, shard.slice, name);
  }
  if (has_slots()) slot_of(unit).reduced->record(communication_);
  if (sum_replicas)
    replicas_->all_reduce(communication_, sum, shard.slice,
                          fmt::format("all_reduce({}) of step {}", shard.spec.name, step_));
  profiler_.end(communication_, Phase::reduce);
  if (transfer_ != nullptr) copy_to_host(slot_of(unit), shard, sum);
  fill_ahead(unit);
}

void UnitGradients::copy_to_host(Slot& slot, const UnitShard& shard, const float* sum) {
  slot.summed->record(communication_);
  slot.summed->wait(*transfer_);
  profiler_.begin(*transfer_, Phase::copy, fmt::format("gradient of {} to the host", shard.spec.name));
  transfer_->transfer(sum, shard_ + shard.begin, shard.slice * size_of(type_));
  profiler_.end(*transfer_, Phase::copy);
  slot.reduced->record(*transfer_);
}

void UnitGradients::wait_all() {
  all_reduced_->record(transfer_ != nullptr ? *transfer_ : communication_);
  wait_on_compute(*all_reduced_);
}

}  // namespace tessera
