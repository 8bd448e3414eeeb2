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
      pool_of_(shard_.messages.size(), 0),
      foreseen_(shard_.messages.size(), 0) {
  std::vector<int64_t> sizes;
  int64_t most_packed = 0;
  for (size_t message = 0; message < shard_.messages.size(); ++message) {
    made_.push_back(context.device.make_event());
    const WeightShard::Message& bytes = shard_.messages[message];
    sizes.push_back(is_at_hand(message) ? 0 : std::max(bytes.padded, bytes.unpacked));
    if (bytes.unpacked > 0 && !is_whole()) most_packed = std::max(most_packed, bytes.padded);
  }
  packed_ = Buffer(context.device, most_packed, "gathered units");
  std::vector<size_t> message_of_units;
  for (const WeightShard::Unit& unit : shard_.units) message_of_units.push_back(unit.message);
  for (const UnitPool& pool : make_unit_pools(sizes, places_at_once(at_once, message_of_units))) {
    for (const size_t message : pool.units) pool_of_[message] = pools_.size();
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

GatheredUnits::Slot* GatheredUnits::holding(size_t message) {
  for (Slot& slot : slots_of(message))
    if (slot.message == message) return &slot;
  return nullptr;
}

GatheredUnits::Slot* GatheredUnits::free_slot_for(size_t message) {
  Slot* free = nullptr;
  for (Slot& slot : slots_of(message))
    if (slot.pins == 0 && (free == nullptr || slot.last_use < free->last_use)) free = &slot;
  return free;
}

GatheredUnits::Slot& GatheredUnits::gather_into(Slot& slot, size_t message) {
  const WeightShard::Message& bytes = shard_.messages[message];
  slot.message = message;
  slot.released->wait(communication_);
  made_[message]->wait(communication_);
  if (bytes.unpacked == 0)
    gather(bytes, slot.buffer.data());
  else
    shard_.unpack(communication_, message, gather(bytes, packed_.data()), slot.buffer.data());
  slot.ready->record(communication_);
  return slot;
}

GatheredUnits::Slot& GatheredUnits::held_or_gathered(size_t message) {
  if (Slot* const slot = holding(message)) return *slot;
  Slot* const free = free_slot_for(message);
  if (free == nullptr) throw std::logic_error("no slot is free for " + shard_.messages[message].name);
  return gather_into(*free, message);
}

/// Returns where the message is: `to`, or the shard itself.
void* GatheredUnits::gather(const WeightShard::Message& message, void* to) {
  Communicator& group = shard_.group;
  void* slice = shard_.data + message.begin;
  if (is_whole()) return slice;
  if (shard_.place == Memory::host) {
    char* own = static_cast<char*>(to) + message.slice * group.rank();
    profiler_.begin(communication_, Phase::copy, fmt::format("{} to the device", message.name));
    communication_.transfer(slice, own, message.slice);
    profiler_.end(communication_, Phase::copy);
    slice = own;
  }
  if (group.size() == 1) return to;
  const CollectiveName name = fmt::format("all_gather({}) of step {}", message.name, step_);
  profiler_.begin(communication_, Phase::gather, name);
  group.all_gather(communication_, slice, to, message.slice, name);
  profiler_.end(communication_, Phase::gather);
  return to;
}

void GatheredUnits::wait_on_compute(Event& event) {
  profiler_.begin(compute_, Phase::wait);
  event.wait(compute_);
  profiler_.end(compute_, Phase::wait);
}

bool GatheredUnits::can_prefetch(size_t unit) {
  const size_t message = message_of(unit);
  return is_at_hand(message) || holding(message) != nullptr || free_slot_for(message) != nullptr;
}

void GatheredUnits::prefetch(size_t unit) {
  const size_t message = message_of(unit);
  if (is_at_hand(message)) return;
  ++held_or_gathered(message).pins;
  ++foreseen_[message];
}

void* GatheredUnits::acquire(size_t unit) {
  const auto [message, offset] = shard_.units[unit];
  const WeightShard::Message& bytes = shard_.messages[message];
  if (bytes.padded == 0) return nullptr;
  if (is_at_hand(message)) {
    wait_on_compute(*made_[message]);
    return shard_.data + bytes.begin + offset;
  }
  Slot& slot = held_or_gathered(message);
  if (foreseen_[message] > 0)
    --foreseen_[message];  // its pin becomes the visit's
  else
    ++slot.pins;
  slot.last_use = ++clock_;
  wait_on_compute(*slot.ready);
  return slot.buffer.as<char>() + offset;
}

void GatheredUnits::release(size_t unit) {
  const size_t message = message_of(unit);
  if (is_at_hand(message)) return;
  Slot& slot = *holding(message);
  slot.released->record(compute_);
  --slot.pins;
}

void GatheredUnits::weights_change() {
  for (Slots& slots : pools_)
    for (Slot& slot : slots) {
      if (slot.pins != 0) throw std::logic_error("the weights changed while a gathered unit was in use");
      slot.message = none;
    }
}

}  // namespace tessera
