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

ShardLayout::ShardLayout(const ModelSpec& model, int rank, int ranks, const TensorBlocks& blocks) : blocks_(blocks) {
  for (UnitSpec& spec : model_units(model, blocks)) {
    UnitShard unit{std::move(spec)};
    unit.padded = round_up(unit.spec.size(Band::trained), ranks * std::lcm(slice_alignment, blocks.elements));
    unit.slice = div_exact(unit.padded, ranks);
    unit.begin = size_;
    size_ += unit.slice;
    units_.push_back(std::move(unit));
  }
  for (const UnitShard& unit : units_) {
    add_pieces(unit, rank);
    add_update_ranges(unit, rank);
  }
}

std::vector<UnitSpec> ShardLayout::unit_specs() const {
  std::vector<UnitSpec> specs;
  for (const UnitShard& unit : units_) specs.push_back(unit.spec);
  return specs;
}

void ShardLayout::add_pieces(const UnitShard& unit, int rank) {
  const int64_t first = rank * unit.slice, last = first + unit.slice;
  for (const TensorSpec& tensor : unit.spec.tensors) {
    if (tensor.band() != Band::trained) continue;
    const int64_t begin = std::max(first, tensor.offset), end = std::min(last, tensor.offset + tensor.size());
    if (begin >= end) continue;
    pieces_.push_back({&tensor, begin - tensor.offset, end - begin, unit.begin + begin - first});
  }
}

/// Padding is treated as what lies before it, and is never in blocks: its weights, gradients and states are zero and
/// stay so.
void ShardLayout::add_update_ranges(const UnitShard& unit, int rank) {
  const int64_t first = rank * unit.slice;
  const auto extend = [&](int64_t end, const TensorSpec* like, bool in_blocks) {
    extend_update_ranges(unit.begin + std::clamp<int64_t>(end - first, 0, unit.slice), like, in_blocks);
  };
  const TensorSpec* before = nullptr;
  for (const TensorSpec& tensor : unit.spec.tensors) {
    if (tensor.band() != Band::trained) continue;
    extend(tensor.offset, before, false);
    extend(tensor.offset + tensor.size(), &tensor, blocks_.cut(tensor));
    before = &tensor;
  }
  extend(unit.padded, before, false);
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
