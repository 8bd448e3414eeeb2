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
      slot_of_(layout_.buckets().size(), 0),
      next_in_slot_(layout_.buckets().size(), none),
      begun_(layout_.units().size(), false),
      begun_bucket_(layout_.buckets().size(), false) {
  if (group_.size() == 1 && transfer_ == nullptr) return;
  std::vector<int64_t> sizes;
  for (const Bucket& bucket : layout_.buckets()) sizes.push_back(bucket.padded);
  const UnitsAtOnce buckets_at_once = places_at_once(at_once, layout_.bucket_of_units());
  for (const UnitPool& pool : make_unit_pools(sizes, buckets_at_once)) {
    const size_t first_slot = slots_.size();
    for (int64_t i = 0; i < pool.slots; ++i) slots_.push_back(make_slot(context.device, pool.size));
    give_slots(pool, first_slot, buckets_at_once);
  }
}

/// In the order in which the buckets get their gradients, each takes the slot that has been free for longest.
void UnitGradients::give_slots(const UnitPool& pool, size_t first_slot, const UnitsAtOnce& at_once) {
  std::vector<size_t> last_in_slot(static_cast<size_t>(pool.slots), none);
  std::deque<size_t> by_last_use(last_in_slot.size());
  std::iota(by_last_use.begin(), by_last_use.end(), size_t{0});
  std::set<size_t> given;
  for (const std::vector<size_t>& in_use : at_once)
    for (const size_t bucket : in_use) {
      if (std::ranges::find(pool.units, bucket) == pool.units.end() || !given.insert(bucket).second) continue;
      const auto free = std::ranges::find_if(
          by_last_use, [&](size_t slot) { return std::ranges::find(in_use, last_in_slot[slot]) == in_use.end(); });
      const size_t slot = *free;
      by_last_use.erase(free);
      by_last_use.push_back(slot);
      slot_of_[bucket] = first_slot + slot;
      if (last_in_slot[slot] != none) next_in_slot_[last_in_slot[slot]] = bucket;
      last_in_slot[slot] = bucket;
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

float* UnitGradients::place_of(size_t bucket) {
  return has_slots() ? slot_of(bucket).buffer.as<float>() : shard_ + layout_.buckets()[bucket].begin;
}

void UnitGradients::begin_update(int64_t step) {
  step_ = step;
  fresh_.assign(layout_.units().size(), true);
  begun_.assign(layout_.units().size(), false);
  begun_bucket_.assign(layout_.buckets().size(), false);
}

void UnitGradients::zero(Stream& stream, float* gradient, int64_t begin, int64_t end) {
  kernels_.memory.fill_zero(stream, gradient + begin, (end - begin) * size_of(type_));
}

void UnitGradients::wait_on_compute(Event& event) {
  profiler_.begin(compute_, Phase::wait);
  event.wait(compute_);
  profiler_.end(compute_, Phase::wait);
}

UnitGradients::Gradient UnitGradients::acquire(size_t number, Matrices matrices) {
  const UnitShard& unit = layout_.units()[number];
  if (layout_.buckets()[unit.bucket].padded == 0) return {nullptr, Write::overwrite};
  float* const gradient = place_of(unit.bucket) + unit.offset;
  if (begun_[number]) return {gradient, Write::accumulate};
  begun_[number] = true;
  const bool fresh = fresh_[number];
  fresh_[number] = false;
  if (!begun_bucket_[unit.bucket]) begin(unit.bucket, fresh);
  begun_bucket_[unit.bucket] = true;
  if (!fresh) return {gradient, Write::accumulate};
  if (matrices == Matrices::added) {
    zero(compute_, gradient, 0, unit.extent);
    return {gradient, Write::accumulate};
  }
  zero_between_matrices(unit, gradient);
  return {gradient, Write::overwrite};
}

/// Its slot is free, and begins with what the shard has, unless it is `fresh`.
void UnitGradients::begin(size_t bucket, bool fresh) {
  if (!has_slots()) return;
  Slot& slot = slot_of(bucket);
  if (fresh || transfer_ == nullptr) wait_on_compute(*slot.reduced);
  if (!fresh) begin_with_shard(bucket);
  if (!fresh && transfer_ != nullptr) wait_on_compute(*slot.filled);
}

void UnitGradients::zero_between_matrices(const UnitShard& unit, float* gradient) {
  int64_t begin = 0;
  const auto zero_until = [&](int64_t end) {
    if (end > begin) zero(compute_, gradient, begin, end);
  };
  for (const TensorSpec& tensor : unit.spec.tensors) {
    if (tensor.band() != Band::trained || tensor.shape.size() == 1) continue;
    zero_until(tensor.offset);
    begin = tensor.offset + tensor.size();
  }
  zero_until(unit.extent);
}

void UnitGradients::begin_with_shard(size_t number) {
  const Bucket& bucket = layout_.buckets()[number];
  Slot& slot = slot_of(number);
  if (std::exchange(slot.filled_for, none) == number) return;  // ahead of time, by fill_from_host()
  if (transfer_ != nullptr) return fill_from_host(slot, bucket);
  float* gradient = slot.buffer.as<float>();
  const int64_t own = bucket.slice * group_.rank();
  zero_others(compute_, bucket, gradient);
  kernels_.memory.copy(compute_, shard_ + bucket.begin, gradient + own, bucket.slice * size_of(type_));
}

void UnitGradients::zero_others(Stream& stream, const Bucket& bucket, float* gradient) {
  const int64_t own = bucket.slice * group_.rank();
  zero(stream, gradient, 0, own);
  zero(stream, gradient, own + bucket.slice, bucket.padded);
}

void UnitGradients::fill_from_host(Slot& slot, const Bucket& bucket) {
  float* gradient = slot.buffer.as<float>();
  slot.reduced->wait(*transfer_);
  zero_others(*transfer_, bucket, gradient);
  profiler_.begin(*transfer_, Phase::copy, fmt::format("gradient of {} from the host", bucket.name));
  transfer_->transfer(shard_ + bucket.begin, gradient + bucket.slice * group_.rank(), bucket.slice * size_of(type_));
  profiler_.end(*transfer_, Phase::copy);
  slot.filled->record(*transfer_);
}

/// The bucket that takes the slot after this one gets its part from the host while others compute.
void UnitGradients::fill_ahead(size_t bucket) {
  const size_t next = next_in_slot_[bucket];
  if (transfer_ == nullptr || next == none || fresh_[layout_.buckets()[next].last]) return;
  Slot& slot = slot_of(next);
  fill_from_host(slot, layout_.buckets()[next]);
  slot.filled_for = next;
}

void UnitGradients::reduce(size_t unit, bool last) {
  begun_[unit] = false;
  const size_t number = layout_.units()[unit].bucket;
  const Bucket& bucket = layout_.buckets()[number];
  if (unit != bucket.first || bucket.padded == 0) return;
  begun_bucket_[number] = false;
  const bool sum_replicas = last && replicas_ != nullptr;
  if (!has_slots() && !sum_replicas) return;
  computed_->record(compute_);
  computed_->wait(communication_);
  const CollectiveName name = fmt::format("reduce_scatter({}) of step {}", bucket.name, step_);
  profiler_.begin(communication_, Phase::reduce, name);
  float* sum = transfer_ == nullptr ? shard_ + bucket.begin : place_of(number);
  if (group_.size() > 1) {
    if (transfer_ != nullptr) sum = slot_of(number).slice.as<float>();
    group_.reduce_scatter(communication_, place_of(number), sum, bucket.slice, name);
  }
  if (has_slots()) slot_of(number).reduced->record(communication_);
  if (sum_replicas)
    replicas_->all_reduce(communication_, sum, bucket.slice,
                          fmt::format("all_reduce({}) of step {}", bucket.name, step_));
  profiler_.end(communication_, Phase::reduce);
  if (transfer_ != nullptr) copy_to_host(slot_of(number), bucket, sum);
  fill_ahead(number);
}

void UnitGradients::copy_to_host(Slot& slot, const Bucket& bucket, const float* sum) {
  slot.summed->record(communication_);
  slot.summed->wait(*transfer_);
  profiler_.begin(*transfer_, Phase::copy, fmt::format("gradient of {} to the host", bucket.name));
  transfer_->transfer(sum, shard_ + bucket.begin, bucket.slice * size_of(type_));
  profiler_.end(*transfer_, Phase::copy);
  slot.reduced->record(*transfer_);
}

void UnitGradients::wait_all() {
  all_reduced_->record(transfer_ != nullptr ? *transfer_ : communication_);
  wait_on_compute(*all_reduced_);
}

}  // namespace tessera
