#include "shard/gathered_units.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace tessera {

GatheredUnits::GatheredUnits(const ShardContext& context, WeightShard shard, const UnitsAtOnce& at_once)
    : shard_(std::move(shard)),
      compute_(context.compute),
      communication_(context.communication),
      profiler_(context.profiler),
      pool_of_(shard_.units.size(), 0),
      foreseen_(shard_.units.size(), 0) {
  std::vector<int64_t> sizes;
  int64_t most_packed = 0;
  for (size_t unit = 0; unit < shard_.units.size(); ++unit) {
    made_.push_back(context.device.make_event());
    const WeightShard::Unit& bytes = shard_.units[unit];
    sizes.push_back(is_at_hand(unit) ? 0 : std::max(bytes.padded, bytes.unpacked));
    if (bytes.unpacked > 0 && !is_whole()) most_packed = std::max(most_packed, bytes.padded);
  }
  packed_ = Buffer(context.device, most_packed, "gathered units");
  for (const UnitPool& pool : make_unit_pools(sizes, at_once)) {
    for (const size_t unit : pool.units) pool_of_[unit] = pools_.size();
    pools_.push_back(make_slots(context.device, pool));
  }
}

GatheredUnits::Slots GatheredUnits::make_slots(Device& device, const UnitPool& pool) const {
  Slots slots(static_cast<size_t>(pool.slots));
  for (Slot& slot : slots) {
    slot.buffer = Buffer(device, pool.size, "gathered units");
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
  const WeightShard::Unit& bytes = shard_.units[unit];
  slot.unit = unit;
  slot.released->wait(communication_);
  made_[unit]->wait(communication_);
  if (bytes.unpacked == 0)
    gather(bytes, slot.buffer.data());
  else
    shard_.unpack(communication_, unit, gather(bytes, packed_.data()), slot.buffer.data());
  slot.ready->record(communication_);
  return slot;
}

/// Returns where the unit is: `to`, or the shard itself.
void* GatheredUnits::gather(const WeightShard::Unit& unit, void* to) {
  Communicator& group = shard_.group;
  void* slice = shard_.data + unit.begin;
  if (is_whole()) return slice;
  if (shard_.place == Memory::host) {
    char* own = static_cast<char*>(to) + unit.slice * group.rank();
    profiler_.begin(communication_, Phase::copy, fmt::format("{} to the device", unit.name));
    communication_.transfer(slice, own, unit.slice);
    profiler_.end(communication_, Phase::copy);
    slice = own;
  }
  if (group.size() == 1) return to;
  const CollectiveName name = fmt::format("all_gather({}) of step {}", unit.name, step_);
  profiler_.begin(communication_, Phase::gather, name);
  group.all_gather(communication_, slice, to, unit.slice, name);
  profiler_.end(communication_, Phase::gather);
  return to;
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
  const WeightShard::Unit& bytes = shard_.units[unit];
  if (bytes.padded == 0) return nullptr;
  if (is_at_hand(unit)) {
    wait_on_compute(*made_[unit]);
    return shard_.data + bytes.begin;
  }
  if (foreseen_[unit] > 0) {
    --foreseen_[unit];  // its pin becomes the visit's
  } else {
    if (!can_prefetch(unit)) throw std::logic_error("no slot is free for unit " + bytes.name);
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
