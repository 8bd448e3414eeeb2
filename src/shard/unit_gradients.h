#pragma once
#include <memory>
#include <vector>

#include "device/buffer.h"
#include "shard/context.h"
#include "shard/unit_pools.h"

namespace tessera {

/// Whole units' gradients in fp32 while a backward pass makes them, and their way into the gradient shard:
/// reduce-scatter over the shard group, a bucket at a time, on the communication stream while the next unit computes,
/// then, in an update's last micro-batch, the sum over replicas.  In a group of one rank the gradient is made in the
/// shard itself, unless the shard lies in host memory: then it is made in a slot like anybody's, and copied there.
class UnitGradients {
 public:
  /// `context` outlives it.
  UnitGradients(const ShardContext& context, const UnitsAtOnce& at_once);

  /// Names what follows in error messages; nothing has a gradient yet.
  void begin_update(int64_t step);

  /// A unit's gradient for kernels on the compute stream: they add to it.  In an update's first micro-batch it begins
  /// at zero, but for matrices that are to be overwritten (`matrices` says so) and hold anything; later this rank's
  /// slice begins as what the micro-batches before have left in the shard.  Of a unit that was acquired before and not
  /// reduced since, as a tied head's embedding, it is the same place as it is.  Null where nothing of it is trained.
  struct Gradient {
    float* data;
    Write matrices;
  };
  enum class Matrices { overwritten, added };  ///< how the caller's first kernel can write them
  Gradient acquire(size_t unit, Matrices matrices);
  /// The kernels so far have made the unit's whole gradient.  With the first of its bucket, whose units get theirs from
  /// the last to the first: sums the bucket over the group into the shard.  `last`: of the update's micro-batches.
  void reduce(size_t unit, bool last);
  /// The compute stream waits until every reduction has arrived.
  void wait_all();

 private:
  struct Slot {
    Buffer buffer;
    Buffer slice;                    // the reduced slice on its way to host memory, in a group of several ranks
    std::unique_ptr<Event> reduced;  // the sum is in the shard: the slot is free
    std::unique_ptr<Event> filled;   // the slot begins with what the shard has
    std::unique_ptr<Event> summed;   // the sum waits for its copy to host memory
    size_t filled_for = none;        // whose gradient it begins with
  };
  static constexpr size_t none = static_cast<size_t>(-1);

  Slot make_slot(Device& device, int64_t elements) const;
  void give_slots(const UnitPool& pool, size_t first_slot, const UnitsAtOnce& at_once);
  Slot& slot_of(size_t bucket) { return slots_[slot_of_[bucket]]; }
  bool has_slots() const { return !slots_.empty(); }
  float* place_of(size_t bucket);
  void begin(size_t bucket, bool fresh);
  void begin_with_shard(size_t bucket);
  void fill_from_host(Slot& slot, const Bucket& bucket);
  void fill_ahead(size_t bucket);
  void zero(Stream& stream, float* gradient, int64_t begin, int64_t end);
  void zero_between_matrices(const UnitShard& unit, float* gradient);
  void zero_others(Stream& stream, const Bucket& bucket, float* gradient);  // the other ranks' slices
  void copy_to_host(Slot& slot, const Bucket& bucket, const float* sum);
  void wait_on_compute(Event& event);

  Kernels& kernels_;
  Communicator& group_;
  Communicator* replicas_;
  const ShardLayout& layout_;
  float* shard_;
  DType type_;
  Stream& compute_;
  Stream& communication_;
  Stream* transfer_;
  Profiler& profiler_;
  std::unique_ptr<Event> computed_, all_reduced_;
  std::vector<Slot> slots_;
  std::vector<size_t> slot_of_, next_in_slot_;  // of the buckets; none: no other is next in this pass
  int64_t step_ = 0;
  std::vector<bool> fresh_;         // of the units: not acquired in this update yet
  std::vector<bool> begun_;         // of the units: acquired, and not reduced yet
  std::vector<bool> begun_bucket_;  // of the buckets: a unit is, or was in this pass
};

}  // namespace tessera
