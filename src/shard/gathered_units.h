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
  /// What is gathered at once, a unit or several, in bytes: whole, in each rank's slice, and where this rank's slice
  /// begins.
  struct Message {
    std::string name;  ///< in its collectives
    int64_t padded = 0, slice = 0, begin = 0;
    int64_t unpacked = 0;  ///< bytes that are made of the gathered ones; 0: they are what kernels read
  };
  /// Where a unit lies, in bytes from the beginning of its message.
  struct Unit {
    size_t message = 0;
    int64_t offset = 0;
  };
  Communicator& group;
  char* data;
  Memory place;
  std::vector<Message> messages = {};
  std::vector<Unit> units = {};
  /// Enqueues what makes a message's unpacked bytes.
  std::function<void(Stream& stream, size_t message, const void* gathered, void* to)> unpack = {};
};

/// One band of whole units in compute precision, in a few slots.  A unit's message is gathered on the communication
/// stream when the unit is wanted or foreseen, waits in a slot until compute has visited it, and is found there again
/// if nothing took its place and the weights have not changed.  In a group of one rank a unit is the shard itself and
/// nothing is copied, unless the shard lies in host memory: then every rank copies its slice to the device first.
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
  /// A message's new weights are in the shard when `stream` gets here: gathers wait for them.
  void weights_made(size_t message, Stream& stream) { made_[message]->record(stream); }
  /// Names what follows in error messages.
  void set_step(int64_t step) { step_ = step; }

 private:
  struct Slot {
    Buffer buffer;
    size_t message = none;
    int pins = 0;  // visits that hold it or are foreseen
    uint64_t last_use = 0;
    std::unique_ptr<Event> ready, released;
  };
  static constexpr size_t none = static_cast<size_t>(-1);
  using Slots = std::vector<Slot>;

  Slots make_slots(Device& device, const UnitPool& pool) const;
  size_t message_of(size_t unit) const { return shard_.units[unit].message; }
  Slots& slots_of(size_t message) { return pools_[pool_of_[message]]; }
  Slot* holding(size_t message);
  Slot* free_slot_for(size_t message);
  Slot& gather_into(Slot& slot, size_t message);
  Slot& held_or_gathered(size_t message);
  void* gather(const WeightShard::Message& message, void* to);
  bool is_whole() const { return shard_.group.size() == 1 && shard_.place == Memory::device; }
  /// Nothing to gather: it has nothing in this band, or is the shard itself.
  bool is_at_hand(size_t message) const {
    const WeightShard::Message& bytes = shard_.messages[message];
    return bytes.padded == 0 || (is_whole() && bytes.unpacked == 0);
  }
  void wait_on_compute(Event& event);

  WeightShard shard_;
  Stream& compute_;
  Stream& communication_;
  Profiler& profiler_;
  Buffer packed_;  // a message that is gathered before it is unpacked
  std::vector<Slots> pools_;
  std::vector<size_t> pool_of_;               // of the messages
  std::vector<std::unique_ptr<Event>> made_;  // of the messages
  std::vector<int> foreseen_;                 // of the messages: prefetches of units that acquire() has not met yet
  uint64_t clock_ = 0;
  int64_t step_ = 0;
};

}  // namespace tessera
