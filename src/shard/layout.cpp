#include "shard/layout.h"

#include <algorithm>

#include "base/number.h"

namespace tessera {

namespace {
constexpr int64_t slice_alignment = 64;  // elements: whole cache lines and vector registers in fp32 and bf16
}

ShardLayout::ShardLayout(const ModelSpec& model, int rank, int ranks) {
  for (UnitSpec& spec : model_units(model)) {
    UnitShard unit{std::move(spec)};
    unit.padded = round_up(unit.spec.size, ranks * slice_alignment);
    unit.slice = div_exact(unit.padded, ranks);
    unit.begin = size_;
    size_ += unit.slice;
    units_.push_back(std::move(unit));
  }
  for (const UnitShard& unit : units_) add_pieces(unit, rank);
}

std::vector<UnitSpec> ShardLayout::unit_specs() const {
  std::vector<UnitSpec> specs;
  for (const UnitShard& unit : units_) specs.push_back(unit.spec);
  return specs;
}

void ShardLayout::add_pieces(const UnitShard& unit, int rank) {
  const int64_t first = rank * unit.slice, last = first + unit.slice;
  for (const TensorSpec& tensor : unit.spec.tensors) {
    const int64_t begin = std::max(first, tensor.offset), end = std::min(last, tensor.offset + tensor.size());
    if (begin >= end) continue;
    pieces_.push_back({&tensor, begin - tensor.offset, end - begin, unit.begin + begin - first});
  }
  // Padding decays with what lies before it: its weights, gradients and moments are zero and stay so.
  int64_t at = unit.begin;
  const auto extend = [&](int64_t end, bool decay) {
    if (end <= at) return;
    if (!decay_ranges_.empty() && decay_ranges_.back().decay == decay)
      decay_ranges_.back().end = end;
    else
      decay_ranges_.push_back({at, end, decay});
    at = end;
  };
  bool decay = false;
  for (const TensorSpec& tensor : unit.spec.tensors) {
    const int64_t end = std::min(last, tensor.offset + tensor.size());
    if (end <= first) continue;
    decay = tensor.decay;
    extend(unit.begin + end - first, decay);
  }
  extend(unit.begin + unit.slice, decay);
}

}  // namespace tessera
