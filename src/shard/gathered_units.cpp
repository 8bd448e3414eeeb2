#include "shard/gathered_units.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace tessera {

GatheredUnits::GatheredUnits(const ShardContext& context, const std::vector<UnitPool>& pools)
    : group_(context.group),
      layout_(context.layout),
      weights_(context.state.weights()),
      weights_place_(context.state.weights_place),
      compute_(context.compute),
      communication_(context.communication),
      profiler_(context.profiler),
      pool_of_(layout_.units().size(), 0),
      foreseen_(layout_.units().size(), 0) {
  for (size_t unit = 0; unit < layout_.units().size(); ++unit) made_.push_back(context.device.make_event());
  if (group_.size() == 1 && weights_place_ == Memory::device) return;
  for (const UnitPool& pool : pools) {
    for (const size_t unit : pool.units) pool_of_[unit] = pools_.size();
    pools_.push_back(make_slots(context.device, pool));
  }
}

GatheredUnits::Slots GatheredUnits::make_slots(Device& device, const UnitPool& pool) const {
  Slots slots(static_cast<size_t>(pool.slots));
  for (Slot& slot : slots) {
    slot.buffer = Buffer(device, weights_.dtype, 1, pool.elements, "gathered units");
    slot.ready = device.make_event();
    slot.released = device.make_event();
  }
  return slots;
}

GatheredUnits::Slot* GatheredUnits::holding(size_t unit) {
  for (Slot& slot : slots_of(unit))
    if (slot.unit == unit) return &slot;
  return nullptr;
}

GatheredUnits::Slot* GatheredUnits::gather_into_free_slot(size_t unit) {
  Slot* free = nullptr;
  for (Slot& slot : slots_of(unit))
    if (slot.pins == 0 && (free == nullptr || slot.last_use < free->last_use)) free = &slot;
  if (free == nullptr) return nullptr;

  const UnitShard& shard = layout_.units()[unit];
  free->unit = unit;
  free->released->wait(communication_);
  made_[unit]->wait(communication_);
  gather(shard, free->buffer.data());
  free->ready->record(communication_);
  return free;
}

void GatheredUnits::gather(const UnitShard& shard, void* to) {
  const void* slice = weights_.cols_from(shard.begin, shard.slice).data;
  const int64_t bytes = shard.slice * size_of(weights_.dtype);
  if (weights_place_ == Memory::host) {
    char* own = static_cast<char*>(to) + bytes * group_.rank();
    profiler_.begin(communication_, Phase::copy, fmt::format("{} to the device", shard.spec.name));
    communication_.transfer(slice, own, bytes);
    profiler_.end(communication_, Phase::copy);
    slice = own;
  }
  if (group_.size() == 1) return;
  const CollectiveName name = fmt::format("all_gather({}) of step {}", shard.spec.name, step_);
  profiler_.begin(communication_, Phase::gather, name);
  group_.all_gather(communication_, slice, to, bytes, name);
  profiler_.end(communication_, Phase::gather);
}

void GatheredUnits::wait_on_compute(Event& event) {
  profiler_.begin(compute_, Phase::wait);
  event.wait(compute_);
  profiler_.end(compute_, Phase::wait);
}

bool GatheredUnits::prefetch(size_t unit) {
  if (!has_slots()) return true;
  Slot* slot = holding(unit);
  if (slot == nullptr) slot = gather_into_free_slot(unit);
  if (slot == nullptr) return false;
  ++slot->pins;
  ++foreseen_[unit];
  return true;
}

void* GatheredUnits::acquire(size_t unit) {
  const UnitShard& shard = layout_.units()[unit];
  if (!has_slots()) {
    wait_on_compute(*made_[unit]);
    return weights_.cols_from(shard.begin, shard.slice).data;
  }
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
  wait_on_compute(*slot.ready);
  return slot.buffer.data();
}

void GatheredUnits::release(size_t unit) {
  if (!has_slots()) return;
  Slot& slot = *holding(unit);
  slot.released->record(compute_);
  --slot.pins;
}

void GatheredUnits::weights_change() {
  for (Slots& slots : pools_)
    for (Slot& slot : slots) {
      if (slot.pins != 0) throw std::logic_error("the weights changed while a gathered unit was in use");
      slot.unit = no_unit;
    }
}

}  // namespace tessera
