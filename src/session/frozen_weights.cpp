#include "session/frozen_weights.h"

#include <algorithm>
#include <cmath>
#include <exception>

#include "base/number.h"
#include "kernels/quantization.h"

namespace tessera {
namespace {

constexpr int64_t piece_elements = 1 << 20;  // whole blocks of every kind
constexpr int64_t block_bytes = nf4_block / 2;

/// One unit's bytes on this rank.
class FrozenLoader {
 public:
  FrozenLoader(ShardedModel& model, const StoredUnit& unit, const WeightSource& source)
      : model_(model), group_(model.frozen_group()), unit_(unit), source_(source), read_(source.elements) {}

  void load(const StoredTensor& tensor) {
    const Nf4Tensor* const nf4 =
        source_.nf4 && is_quantized(tensor.tensor->storage) ? source_.nf4(*tensor.tensor) : nullptr;
    if (nf4 != nullptr)
      attempt([&] { copy_nf4(tensor, *nf4); });
    else if (tensor.tensor->storage == Storage::int8)
      load_int8(tensor);
    else if (is_quantized(tensor.tensor->storage))
      load_nf4(tensor);
    else
      attempt([&] { load_plain(tensor); });
  }
  const std::exception_ptr& error() const { return error_; }

 private:
  struct Range {
    int64_t begin, end;
  };
  /// The part of a segment that a rank keeps, in bytes from the segment's beginning.
  Range kept(const Segment& segment, int rank) const {
    const auto within = [&](int64_t byte) { return std::clamp<int64_t>(byte - segment.begin, 0, segment.bytes); };
    return {within(rank * unit_.slice), within((rank + 1) * unit_.slice)};
  }
  Range kept(const Segment& segment) const { return kept(segment, group_.rank()); }

  /// Copies bytes [begin, end) of a segment, which this rank keeps.
  void put(const Segment& segment, Range range, const void* bytes) {
    char* const to =
        model_.state().frozen.as<char>() + unit_.begin + segment.begin + range.begin - group_.rank() * unit_.slice;
    model_.compute().device().copy(bytes, to, range.end - range.begin);
  }
  /// Of a whole segment that every rank has made.
  void put_kept(const Segment& segment, const void* whole) {
    const Range range = kept(segment);
    if (range.begin < range.end) put(segment, range, static_cast<const char*>(whole) + range.begin);
  }

  template <typename Work>
  void attempt(const Work& work) {
    try {
      if (!error_) work();
    } catch (...) {
      error_ = std::current_exception();
    }
  }

  void load_plain(const StoredTensor& tensor);
  void load_nf4(const StoredTensor& tensor);
  void copy_nf4(const StoredTensor& tensor, const Nf4Tensor& from);
  void load_int8(const StoredTensor& tensor);
  void share(const StoredTensor& tensor, std::vector<float>& absmax, int64_t bytes_of_block);
  void quantize_kept(const StoredTensor& tensor, std::vector<float>& absmax);

  ShardedModel& model_;
  Communicator& group_;
  const StoredUnit& unit_;
  const WeightSource& source_;
  const ReadElements& read_;
  std::exception_ptr error_;
  std::vector<float> elements_;
  std::vector<bf16> rounded_;
  std::vector<uint8_t> codes_;
};

void FrozenLoader::load_plain(const StoredTensor& tensor) {
  const DType type = model_.stored_layout().compute();
  const int64_t bytes = size_of(type);
  const Range all = kept(tensor.elements);
  for (int64_t begin = all.begin / bytes, end = all.end / bytes; begin < end; begin += piece_elements) {
    const int64_t n = std::min(piece_elements, end - begin);
    elements_.resize(static_cast<size_t>(n));
    read_(*tensor.tensor, begin, n, elements_.data());
    const Range range{begin * bytes, (begin + n) * bytes};
    if (type == DType::f32) {
      put(tensor.elements, range, elements_.data());
    } else {
      rounded_.resize(elements_.size());
      std::ranges::transform(elements_, rounded_.begin(), [](float value) { return bf16(value); });
      put(tensor.elements, range, rounded_.data());
    }
  }
}

void FrozenLoader::quantize_kept(const StoredTensor& tensor, std::vector<float>& absmax) {
  const int64_t size = tensor.tensor->size();
  const Range all = kept(tensor.elements);  // no slice cuts a block: both are multiples of its bytes
  for (int64_t begin = all.begin * 2, end = std::min(size, all.end * 2); begin < end; begin += piece_elements) {
    const int64_t n = std::min(piece_elements, end - begin);
    elements_.resize(static_cast<size_t>(n));
    codes_.resize(static_cast<size_t>(ceil_div(n, 2)));
    read_(*tensor.tensor, begin, n, elements_.data());
    for (int64_t at = 0; at < n; at += nf4_block)
      absmax[static_cast<size_t>((begin + at) / nf4_block)] =
          quantize_nf4_block(elements_.data() + at, std::min(nf4_block, n - at), codes_.data() + at / 2);
    put(tensor.elements, {begin / 2, begin / 2 + std::ssize(codes_)}, codes_.data());
  }
}

/// A block's absmax is known to the rank that keeps the first byte of its codes: it tells the others.
void FrozenLoader::share(const StoredTensor& tensor, std::vector<float>& absmax, int64_t bytes_of_block) {
  for (int rank = 0; rank < group_.size() && group_.size() > 1; ++rank) {
    const Range codes = kept(tensor.elements, rank);
    const int64_t first = ceil_div(codes.begin, bytes_of_block), last = ceil_div(codes.end, bytes_of_block);
    if (first < last)
      group_.broadcast_host(absmax.data() + first, (last - first) * size_of(DType::f32), rank,
                            "broadcast of the absmax of " + tensor.tensor->name);
  }
}

void FrozenLoader::load_int8(const StoredTensor& tensor) {
  const int64_t rows = tensor.tensor->shape.front(), columns = tensor.tensor->shape.back();
  const Range all = kept(tensor.elements);  // elements, as each has a byte
  std::vector<float> absmax(static_cast<size_t>(rows));
  elements_.resize(static_cast<size_t>(columns));
  attempt([&] {
    for (int64_t row = ceil_div(all.begin, columns); row < ceil_div(all.end, columns); ++row) {
      read_(*tensor.tensor, row * columns, columns, elements_.data());
      for (const float x : elements_)
        absmax[static_cast<size_t>(row)] = std::max(absmax[static_cast<size_t>(row)], std::abs(x));
    }
  });
  share(tensor, absmax, columns);
  put_kept(tensor.absmax, absmax.data());
  std::vector<int8_t> codes(static_cast<size_t>(columns));
  attempt([&] {
    for (int64_t row = all.begin / columns; row < ceil_div(all.end, columns); ++row) {
      const int64_t begin = std::max(all.begin, row * columns), end = std::min(all.end, (row + 1) * columns);
      read_(*tensor.tensor, begin, end - begin, elements_.data());
      quantize_int8(elements_.data(), end - begin, absmax[static_cast<size_t>(row)], codes.data());
      put(tensor.elements, {begin, end}, codes.data());
    }
  });
}

void FrozenLoader::load_nf4(const StoredTensor& tensor) {
  const int64_t blocks = ceil_div(tensor.tensor->size(), nf4_block);
  std::vector<float> absmax(static_cast<size_t>(blocks));
  attempt([&] { quantize_kept(tensor, absmax); });
  share(tensor, absmax, block_bytes);
  if (tensor.absmax_codes.bytes == 0) return put_kept(tensor.absmax, absmax.data());
  std::vector<uint8_t> codes(static_cast<size_t>(blocks));
  std::vector<float> scales(static_cast<size_t>(ceil_div(blocks, absmax_block)));
  float mean = 0;
  quantize_absmax(absmax.data(), blocks, codes.data(), scales.data(), &mean);
  put_kept(tensor.absmax, scales.data());
  put_kept(tensor.absmax_codes, codes.data());
  put_kept(tensor.mean, &mean);
}

/// What the file has is what is kept.
void FrozenLoader::copy_nf4(const StoredTensor& tensor, const Nf4Tensor& from) {
  using Part = Nf4Tensor::Part;
  for (const auto& [segment, part] :
       {std::pair(tensor.elements, Part::codes), std::pair(tensor.absmax, Part::absmax),
        std::pair(tensor.absmax_codes, Part::absmax_codes), std::pair(tensor.mean, Part::mean)}) {
    const Range all = kept(segment);
    for (int64_t begin = all.begin; begin < all.end; begin += piece_elements) {
      codes_.resize(static_cast<size_t>(std::min(piece_elements, all.end - begin)));
      from.read_part(part, begin, std::ssize(codes_), codes_.data());
      put(segment, {begin, begin + std::ssize(codes_)}, codes_.data());
    }
  }
}

}  // namespace

void load_frozen_weights(ShardedModel& model, const WeightSource& source) {
  std::exception_ptr error;
  for (const StoredUnit& unit : model.stored_layout().units()) {
    FrozenLoader loader(model, unit, source);
    for (const StoredTensor& tensor : unit.tensors) loader.load(tensor);
    if (!error) error = loader.error();
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace tessera
