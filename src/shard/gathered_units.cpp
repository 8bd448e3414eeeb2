#include "shard/gathered_units.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace tessera {

GatheredUnits::GatheredUnits(Device& device, Communicator& group, const ShardLayout& layout, const ShardState& state,
                             bool tied, GatherSlots slots, Stream& compute, Stream& communication, Profiler& profiler)
    : group_(group),
      layout_(layout),
      weights_(state.weights()),
      compute_(compute),
      communication_(communication),
      profiler_(profiler),
      updated_(device.make_event()),
      foreseen_(layout.units().size(), 0) {
  if (group.size() == 1) return;
  const auto& units = layout.units();
  const auto layer_count = static_cast<int64_t>(units.size()) - 2;
  if (layer_count > 0) layers_ = make_pool(device, std::min(slots.layers, layer_count), units[1].padded);
  const bool separate = tied || slots.separate;
  embedding_ =
      make_pool(device, 1, separate ? units.front().padded : std::max(units.front().padded, units.back().padded));
  if (separate) head_ = make_pool(device, 1, units.back().padded);
}

GatheredUnits::Pool GatheredUnits::make_pool(Device& device, int64_t count, int64_t elements) const {
  Pool pool(static_cast<size_t>(count));
  for (Slot& slot : pool) {
    slot.buffer = Buffer(device, weights_.dtype, 1, elements, "gathered units");
    slot.ready = device.make_event();
    slot.released = device.make_event();
  }
  return pool;
}

GatheredUnits::Pool& GatheredUnits::pool_of(size_t unit) {
  if (unit == 0) return embedding_;
  if (unit + 1 < layout_.units().size()) return layers_;
  return head_.empty() ? embedding_ : head_;
}

GatheredUnits::Slot* GatheredUnits::holding(size_t unit) {
  for (Slot& slot : pool_of(unit))
    if (slot.unit == unit) return &slot;
  return nullptr;
}

GatheredUnits::Slot* GatheredUnits::gather_into_free_slot(size_t unit) {
  Slot* free = nullptr;
  for (Slot& slot : pool_of(unit))
    if (slot.pins == 0 && (free == nullptr || slot.last_use < free->last_use)) free = &slot;
  if (free == nullptr) return nullptr;

  const UnitShard& shard = layout_.units()[unit];
  free->unit = unit;
  free->released->wait(communication_);
  const CollectiveName name = fmt::format("all_gather({}) of step {}", shard.spec.name, step_);
  profiler_.begin(communication_, Phase::gather, name);
  group_.all_gather(communication_, weights_.cols_from(shard.begin, shard.slice).data, free->buffer.data(),
                    shard.slice * size_of(weights_.dtype), name);
  profiler_.end(communication_, Phase::gather);
  free->ready->record(communication_);
  return free;
}

bool GatheredUnits::prefetch(size_t unit) {
  if (group_.size() == 1) return true;
  Slot* slot = holding(unit);
  if (slot == nullptr) slot = gather_into_free_slot(unit);
  if (slot == nullptr) return false;
  ++slot->pins;
  ++foreseen_[unit];
  return true;
}

void* GatheredUnits::acquire(size_t unit) {
  const UnitShard& shard = layout_.units()[unit];
  if (group_.size() == 1) return weights_.cols_from(shard.begin, shard.slice).data;
  if (foreseen_[unit] > 0) {
    --foreseen_[unit];  // its pin becomes the visit's
  } else {
    Slot* slot = holding(unit);
    if (slot == nullptr) slot = gather_into_free_slot(unit);
    if (slot == nullptr) throw std::logic_error("no slot is free for unit " + shard.spec.name);
    ++slot->pins;
  }
  Slot& slot = *holding(unit);
  slot.last_use = ++clock_;
  profiler_.begin(compute_, Phase::wait);
  slot.ready->wait(compute_);
  profiler_.end(compute_, Phase::wait);
  return slot.buffer.data();
}

void GatheredUnits::release(size_t unit) {
  if (group_.size() == 1) return;
  Slot& slot = *holding(unit);
  slot.released->record(compute_);
  --slot.pins;
}

void GatheredUnits::weights_changed() {
  for (Pool* pool : {&layers_, &embedding_, &head_})
    for (Slot& slot : *pool) {
      if (slot.pins != 0) throw std::logic_error("the weights changed while a gathered unit was in use");
      slot.unit = no_unit;
    }
  updated_->record(compute_);
  updated_->wait(communication_);
}

}  // namespace tessera
