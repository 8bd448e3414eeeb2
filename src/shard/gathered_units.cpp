#include "shard/gathered_units.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace tessera {

GatheredUnits::GatheredUnits(const ShardContext& context, WeightShard shard, const std::vector<UnitPool>& pools)
    : shard_(std::move(shard)),
      compute_(context.compute),
      communication_(context.communication),
      profiler_(context.profiler),
      pool_of_(shard_.layout.units().size(), 0),
      foreseen_(shard_.layout.units().size(), 0) {
  for (size_t unit = 0; unit < shard_.layout.units().size(); ++unit) made_.push_back(context.device.make_event());
  if (shard_.group.size() == 1 && shard_.place == Memory::device) return;
  for (const UnitPool& pool : pools) {
    for (const size_t unit : pool.units) pool_of_[unit] = pools_.size();
    pools_.push_back(make_slots(context.device, pool));
  }
}

GatheredUnits::Slots GatheredUnits::make_slots(Device& device, const UnitPool& pool) const {
  Slots slots(static_cast<size_t>(pool.slots));
  for (Slot& slot : slots) {
    slot.buffer = Buffer(device, shard_.weights.dtype, 1, pool.elements, "gathered units");
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

GatheredUnits::Slot* GatheredUnits::free_slot_for(size_t unit) {
  Slot* free = nullptr;
  for (Slot& slot : slots_of(unit))
    if (slot.pins == 0 && (free == nullptr || slot.last_use < free->last_use)) free = &slot;
  return free;
}

GatheredUnits::Slot& GatheredUnits::gather_into(Slot& slot, size_t unit) {
  slot.unit = unit;
  slot.released->wait(communication_);
  made_[unit]->wait(communication_);
  gather(shard_.layout.units()[unit], slot.buffer.data());
  slot.ready->record(communication_);
  return slot;
}

void GatheredUnits::gather(const UnitShard& unit, void* to) {
  Communicator& group = shard_.group;
  const void* slice = shard_.weights.cols_from(unit.begin, unit.slice).data;
  const int64_t bytes = unit.slice * size_of(shard_.weights.dtype);
  if (shard_.place == Memory::host) {
    char* own = static_cast<char*>(to) + bytes * group.rank();
    profiler_.begin(communication_, Phase::copy, fmt::format("{}{} to the device", shard_.name, unit.spec.name));
    communication_.transfer(slice, own, bytes);
    profiler_.end(communication_, Phase::copy);
    slice = own;
  }
  if (group.size() == 1) return;
  const CollectiveName name = fmt::format("all_gather({}{}) of step {}", shard_.name, unit.spec.name, step_);
  profiler_.begin(communication_, Phase::gather, name);
  group.all_gather(communication_, slice, to, bytes, name);
  profiler_.end(communication_, Phase::gather);
}

void GatheredUnits::wait_on_compute(Event& event) {
  profiler_.begin(compute_, Phase::wait);
  event.wait(compute_);
  profiler_.end(compute_, Phase::wait);
}

bool GatheredUnits::can_prefetch(size_t unit) {
  return is_at_hand(unit) || holding(unit) != nullptr || free_slot_for(unit) != nullptr;
}

void GatheredUnits::prefetch(size_t unit) {
  if (is_at_hand(unit)) return;
  Slot* slot = holding(unit);
  if (slot == nullptr) slot = &gather_into(*free_slot_for(unit), unit);
  ++slot->pins;
  ++foreseen_[unit];
}

void* GatheredUnits::acquire(size_t unit) {
  const UnitShard& shard = shard_.layout.units()[unit];
  if (shard.padded == 0) return nullptr;
  if (is_at_hand(unit)) {
    wait_on_compute(*made_[unit]);
    return shard_.weights.cols_from(shard.begin, shard.slice).data;
  }
  if (foreseen_[unit] > 0) {
    --foreseen_[unit];  // its pin becomes the visit's
  } else {
    if (!can_prefetch(unit)) throw std::logic_error("no slot is free for unit " + shard.spec.name);
    Slot* slot = holding(unit);
    if (slot == nullptr) slot = &gather_into(*free_slot_for(unit), unit);
    ++slot->pins;
  }
  Slot& slot = *holding(unit);
  slot.last_use = ++clock_;
  wait_on_compute(*slot.ready);
  return slot.buffer.data();
}

void GatheredUnits::release(size_t unit) {
  if (is_at_hand(unit)) return;
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
