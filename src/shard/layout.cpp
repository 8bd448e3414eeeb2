#include "shard/layout.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <stdexcept>

#include "base/number.h"

namespace tessera {

namespace {
constexpr int64_t slice_alignment = 64;  // elements: whole cache lines and vector registers in fp32 and bf16
}

ShardLayout::ShardLayout(const ModelSpec& model, int rank, int ranks, const TensorBlocks& blocks, int64_t least_bucket)
    : blocks_(blocks) {
  for (UnitSpec& spec : model_units(model, blocks)) units_.push_back({std::move(spec)});
  add_buckets(ranks, least_bucket);
  for (const Bucket& bucket : buckets_) {
    add_pieces(bucket, rank);
    add_update_ranges(bucket, rank);
  }
}

/// The first unit and the last, which may share a tensor, and those of which nothing is trained stay alone.
void ShardLayout::add_buckets(int ranks, int64_t least) {
  const int64_t alignment = std::lcm(slice_alignment, blocks_.elements);
  const auto trained = [&](size_t unit) { return round_up(units_[unit].spec.size(Band::trained), alignment); };
  const auto is_layer = [&](size_t unit) { return unit > 0 && unit + 1 < units_.size() && trained(unit) > 0; };
  for (size_t unit = 0; unit < units_.size();) {
    Bucket bucket;
    bucket.first = unit;
    bucket.begin = size_;
    int64_t end = 0;
    do {
      units_[unit].bucket = buckets_.size();
      units_[unit].offset = end;
      units_[unit].extent = trained(unit);
      end += trained(unit);
      bucket.last = unit++;
    } while (end < least && is_layer(bucket.last) && is_layer(unit));
    bucket.padded = round_up(end, ranks * alignment);
    units_[bucket.last].extent += bucket.padded - end;
    bucket.slice = div_exact(bucket.padded, ranks);
    bucket.name = units_[bucket.first].spec.name;
    if (bucket.last > bucket.first) bucket.name += " to " + units_[bucket.last].spec.name;
    size_ += bucket.slice;
    buckets_.push_back(std::move(bucket));
  }
}

std::vector<UnitSpec> ShardLayout::unit_specs() const {
  std::vector<UnitSpec> specs;
  for (const UnitShard& unit : units_) specs.push_back(unit.spec);
  return specs;
}

std::vector<size_t> ShardLayout::bucket_of_units() const {
  std::vector<size_t> buckets;
  for (const UnitShard& unit : units_) buckets.push_back(unit.bucket);
  return buckets;
}

void ShardLayout::add_pieces(const Bucket& bucket, int rank) {
  const int64_t first = rank * bucket.slice, last = first + bucket.slice;
  for (const UnitShard& unit : units_of(bucket))
    for (const TensorSpec& tensor : unit.spec.tensors) {
      if (tensor.band() != Band::trained) continue;
      const int64_t at = unit.offset + tensor.offset;
      const int64_t begin = std::max(first, at), end = std::min(last, at + tensor.size());
      if (begin < end) pieces_.push_back({&tensor, begin - at, end - begin, bucket.begin + begin - first});
    }
}

/// Padding is treated as what lies before it, and is never in blocks: its weights, gradients and states are zero and
/// stay so.
void ShardLayout::add_update_ranges(const Bucket& bucket, int rank) {
  const int64_t first = rank * bucket.slice;
  const auto extend = [&](int64_t end, const TensorSpec* like, bool in_blocks) {
    extend_update_ranges(bucket.begin + std::clamp<int64_t>(end - first, 0, bucket.slice), like, in_blocks);
  };
  const TensorSpec* before = nullptr;
  for (const UnitShard& unit : units_of(bucket))
    for (const TensorSpec& tensor : unit.spec.tensors) {
      if (tensor.band() != Band::trained) continue;
      const int64_t at = unit.offset + tensor.offset;
      extend(at, before, false);
      extend(at + tensor.size(), &tensor, blocks_.cut(tensor));
      before = &tensor;
    }
  extend(bucket.padded, before, false);
}

void ShardLayout::extend_update_ranges(int64_t end, const TensorSpec* like, bool in_blocks) {
  const int64_t begin = update_ranges_.empty() ? 0 : update_ranges_.back().end;
  if (end <= begin) return;
  const UpdateRange range{
      begin, end, like != nullptr && like->decay, like != nullptr ? like->rate : 1, in_blocks, unblocked_size_};
  const auto continues = [&](const UpdateRange& last) {
    return last.decay == range.decay && last.rate == range.rate && last.in_blocks == range.in_blocks;
  };
  if (begin > 0 && continues(update_ranges_.back()))
    update_ranges_.back().end = end;
  else
    update_ranges_.push_back(range);
  if (!in_blocks) unblocked_size_ += end - begin;
}

int64_t ShardLayout::unblocked_offset(int64_t shard_offset) const {
  const auto after = std::ranges::upper_bound(update_ranges_, shard_offset, {}, &UpdateRange::begin);
  const UpdateRange& range = *std::prev(after);
  if (range.in_blocks) throw std::logic_error("ShardLayout::unblocked_offset: the element lies in a block");
  return range.unblocked_begin + shard_offset - range.begin;
}

}  // namespace tessera
