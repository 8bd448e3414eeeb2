#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device/buffer.h"
#include "shard/context.h"
#include "shard/unit_pools.h"

namespace tessera {

/// One band of the units' weights, as the ranks of a group hold it.
struct WeightShard {
  /// Bytes of a unit: gathered, in each rank's slice, and where this rank's slice begins.
  struct Unit {
    std::string name;  ///< in its collectives
    int64_t padded = 0, slice = 0, begin = 0;
    int64_t unpacked = 0;  ///< bytes that are made of the gathered ones; 0: they are what kernels read
  };
  Communicator& group;
  std::vector<Unit> units;
  char* data;
  Memory place;
  /// Enqueues what makes a unit's unpacked bytes.
  std::function<void(Stream& stream, size_t unit, const void* gathered, void* to)> unpack = {};
};

/// One band of whole units in compute precision, in a few slots.  A unit is gathered on the communication stream when
/// it is wanted or foreseen, waits in a slot until compute has visited it, and is found there again if nothing took its
/// place and the weights have not changed.  In a group of one rank a unit is the shard itself and nothing is copied,
/// unless the shard lies in host memory: then every rank copies its slice to the device first.
class GatheredUnits {
 public:
  /// `context` and what `shard` refers to outlive it.
  GatheredUnits(const ShardContext& context, WeightShard shard, const UnitsAtOnce& at_once);

  /// Is it there, or a slot free for it?
  bool can_prefetch(size_t unit);
  /// Enqueues the gather of a unit that will be visited soon.
  void prefetch(size_t unit);
  /// The whole unit for kernels that are enqueued on the compute stream from here on, until release(); null where it
  /// has nothing in this band.
  void* acquire(size_t unit);
  void release(size_t unit);
  /// The weights are about to change: what lies in the slots is stale.
  void weights_change();
  /// A unit's new weights are in the shard when `stream` gets here: gathers wait for them.
  void weights_made(size_t unit, Stream& stream) { made_[unit]->record(stream); }
  /// Names what follows in error messages.
  void set_step(int64_t step) { step_ = step; }

 private:
  struct Slot {
    Buffer buffer;
    size_t unit = no_unit;
    int pins = 0;  // visits that hold it or are foreseen
    uint64_t last_use = 0;
    std::unique_ptr<Event> ready, released;
  };
  static constexpr size_t no_unit = static_cast<size_t>(-1);
  using Slots = std::vector<Slot>;

  Slots make_slots(Device& device, const UnitPool& pool) const;
  Slots& slots_of(size_t unit) { return pools_[pool_of_[unit]]; }
  Slot* holding(size_t unit);
  Slot* free_slot_for(size_t unit);
  Slot& gather_into(Slot& slot, size_t unit);
  void* gather(const WeightShard::Unit& unit, void* to);
  bool is_whole() const { return shard_.group.size() == 1 && shard_.place == Memory::device; }
  /// Nothing to gather: a unit that has nothing in this band, or is the shard itself.
  bool is_at_hand(size_t unit) const {
    const WeightShard::Unit& bytes = shard_.units[unit];
    return bytes.padded == 0 || (is_whole() && bytes.unpacked == 0);
  }
  void wait_on_compute(Event& event);

  WeightShard shard_;
  Stream& compute_;
  Stream& communication_;
  Profiler& profiler_;
  Buffer packed_;  // a unit that is gathered before it is unpacked
  std::vector<Slots> pools_;
  std::vector<size_t> pool_of_;               // of the units
  std::vector<std::unique_ptr<Event>> made_;  // of the units
  std::vector<int> foreseen_;                 // prefetches of a unit that acquire() has not met yet
  uint64_t clock_ = 0;
  int64_t step_ = 0;
};

}  // namespace tessera
