#include "session/weights.h"

#include <algorithm>

#include "base/number.h"
#include "session/frozen_weights.h"

namespace tessera {
namespace {

/// `count` numbers in pieces of some MiB, each made in host memory by make(begin, n) and then copied to the shard.
template <typename Make>
void load_in_pieces(ShardedModel& model, void* to, DType type, int64_t count, const Make& make) {
  constexpr int64_t elements = 4 << 20;
  for (int64_t begin = 0; begin < count; begin += elements) {
    const int64_t n = std::min(elements, count - begin);
    model.compute().device().copy(make(begin, n), static_cast<char*>(to) + begin * size_of(type), n * size_of(type));
  }
}

void* element_of(const Buffer& buffer, int64_t i) { return buffer.view().cols_from(i, 0).data; }

/// What the optimizer keeps of a piece.
void add_values(const ShardState::OfOptimizer& state, const ShardPiece& piece, const ShardLayout& layout,
                std::vector<SliceValues>& values) {
  const auto& [name, type, blocks] = state.what;
  if (!blocks.cut(*piece.tensor)) {
    values.push_back({name, type, element_of(state.values, layout.unblocked_offset(piece.shard_offset))});
    return;
  }
  const int64_t block = div_exact(piece.shard_offset, blocks.elements);
  values.push_back({name + "_codes", DType::u8, element_of(state.codes, piece.shard_offset), blocks.elements});
  values.push_back({name + "_absmax", DType::f32, element_of(state.absmax, block), blocks.elements, true});
}

}  // namespace

std::vector<TensorSlice> tensor_slices(const ShardedModel& model) {
  std::vector<TensorSlice> slices;
  const ShardState& state = model.state();
  for (const ShardPiece& piece : model.layout().pieces()) {
    TensorSlice& slice =
        slices.emplace_back(TensorSlice{piece.tensor->name, piece.tensor->shape, piece.tensor_offset, piece.count, {}});
    slice.values.push_back({master_dataset, DType::f32, element_of(state.master, piece.shard_offset)});
    for (const ShardState::OfOptimizer& of_optimizer : state.optimizer)
      add_values(of_optimizer, piece, model.layout(), slice.values);
  }
  return slices;
}

namespace {

void load_trained(ShardedModel& model, const ReadElements& read) {
  std::vector<float> memory;
  for (const ShardPiece& piece : model.layout().pieces())
    load_in_pieces(model, element_of(model.state().master, piece.shard_offset), DType::f32, piece.count,
                   [&](int64_t begin, int64_t n) {
                     memory.resize(static_cast<size_t>(n));
                     read(*piece.tensor, piece.tensor_offset + begin, n, memory.data());
                     return memory.data();
                   });
}

}  // namespace

void load_weights(ShardedModel& model, const ReadElements& read) {
  load_frozen_weights(model, read);
  load_trained(model, read);
  model.cast_weights();
}

void load_checkpoint(ShardedModel& model, const ReadElements& base, const CheckpointReader& checkpoint) {
  load_frozen_weights(model, base);
  for (const TensorSlice& slice : tensor_slices(model))
    for (const SliceValues& values : slice.values)
      checkpoint.stream(slice, values, [&](const void* piece, int64_t at, int64_t count) {
        const int64_t bytes = size_of(values.type);
        model.compute().device().copy(piece, static_cast<char*>(values.data) + at * bytes, count * bytes);
      });
  model.cast_weights();
}

}  // namespace tessera
