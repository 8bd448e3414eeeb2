#include "shard/stored_layout.h"

#include "base/number.h"

namespace tessera {
namespace {

constexpr int64_t slice_alignment = 256, segment_alignment = 64;  // bytes

/// Collects the segments of a unit.
class UnitBytes {
 public:
  Segment add(int64_t bytes, int64_t alignment) {
    const Segment segment{round_up(end_, alignment), bytes};
    end_ = segment.begin + bytes;
    return segment;
  }
  int64_t end() const { return end_; }

 private:
  int64_t end_ = 0;
};

StoredTensor place(const TensorSpec& tensor, DType compute, bool packed, UnitBytes& unit) {
  StoredTensor stored;
  stored.tensor = &tensor;
  // Where nothing is packed, tensors lie as kernels read them.
  const int64_t n = tensor.size(), alignment = packed ? segment_alignment : size_of(compute);
  if (!is_quantized(tensor.storage)) {
    stored.elements = unit.add(n * size_of(compute), alignment);
    return stored;
  }
  if (tensor.storage == Storage::int8) {
    stored.elements = unit.add(n, alignment);
    stored.absmax = unit.add(tensor.shape.front() * size_of(DType::f32), alignment);
    return stored;
  }
  const int64_t blocks = ceil_div(n, nf4_block);
  stored.elements = unit.add(ceil_div(n, 2), alignment);
  const bool twice = tensor.storage == Storage::nf4_double;
  stored.absmax = unit.add((twice ? ceil_div(blocks, absmax_block) : blocks) * size_of(DType::f32), alignment);
  if (!twice) return stored;
  stored.absmax_codes = unit.add(blocks, alignment);
  stored.mean = unit.add(size_of(DType::f32), alignment);
  return stored;
}

}  // namespace

StoredLayout::StoredLayout(const ModelSpec& model, DType compute, int ranks) : compute_(compute) {
  for (UnitSpec& spec : model_units(model)) {
    StoredUnit& unit = units_.emplace_back(StoredUnit{std::move(spec), {}});
    for (const TensorSpec& tensor : unit.spec.tensors) unit.packed |= is_quantized(tensor.storage);
  }
  for (StoredUnit& unit : units_) {
    UnitBytes bytes;
    for (const TensorSpec& tensor : unit.spec.tensors)
      if (tensor.band() == Band::frozen) unit.tensors.push_back(place(tensor, compute, unit.packed, bytes));
    unit.padded = round_up(bytes.end(), ranks * slice_alignment);
    unit.slice = div_exact(unit.padded, ranks);
    unit.begin = size_;
    size_ += unit.slice;
  }
}

void unpack(Kernels& kernels, Stream& stream, const StoredUnit& unit, const void* stored, void* weights,
            DType compute) {
  const auto* const bytes = static_cast<const char*>(stored);
  const auto floats_at = [&](const Segment& segment) {
    return segment.bytes > 0 ? reinterpret_cast<const float*>(bytes + segment.begin) : nullptr;
  };
  const auto codes_at = [&](const Segment& segment) {
    return segment.bytes > 0 ? reinterpret_cast<const uint8_t*>(bytes + segment.begin) : nullptr;
  };
  for (const StoredTensor& tensor : unit.tensors) {
    const int64_t n = tensor.tensor->size();
    void* const to = static_cast<char*>(weights) + tensor.tensor->offset * size_of(compute);
    if (tensor.tensor->storage == Storage::int8)
      kernels.quantization.dequantize_int8(
          stream, {reinterpret_cast<const int8_t*>(bytes + tensor.elements.begin), floats_at(tensor.absmax)},
          View(to, compute, tensor.tensor->shape.front(), tensor.tensor->shape.back()));
    else if (is_quantized(tensor.tensor->storage))
      kernels.quantization.dequantize_nf4(
          stream,
          {codes_at(tensor.elements), floats_at(tensor.absmax), codes_at(tensor.absmax_codes), floats_at(tensor.mean)},
          View(to, compute, 1, n));
    else
      kernels.memory.copy(stream, bytes + tensor.elements.begin, to, tensor.elements.bytes);
  }
}

}  // namespace tessera
