#include "session/weights.h"

#include <algorithm>
#include <map>
#include <string>

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

void load_weights(ShardedModel& model, const WeightSource& source) {
  load_frozen_weights(model, source);
  load_trained(model, source.elements);
  model.cast_weights();
}

namespace {

bool is_quantized_norm(const TensorSpec& tensor) { return tensor.init == TensorSpec::Init::quantized_row_norms; }

/// On the host, from the dequantised weight beside `magnitude`.
std::vector<float> row_norms(ShardedModel& model, const UnitSpec& unit, const TensorSpec& magnitude,
                             const FlatUnit& weights) {
  const std::string name = magnitude.name.substr(0, magnitude.name.rfind('.')) + ".weight";
  const auto weight = std::ranges::find(unit.tensors, name, &TensorSpec::name);
  const View w = MatrixPlace(unit, {name}, weight->shape.back()).in(weights);
  const View nothing(nullptr, w.dtype, w.rows, 0), no_products(nullptr, DType::f32, w.rows, 0);
  Stream& stream = model.compute();
  const Buffer scales(stream.device(), DType::f32, 2, w.rows, "row norms");
  auto* const inverse = scales.as<float>() + w.rows;
  model.kernels().dora.row_scales(stream, w, nothing, MatrixPlace(unit, {magnitude.name}, 1).in_a_row(weights),
                                  no_products, no_products, 0, scales.as<float>(), inverse);
  std::vector<float> norms(static_cast<size_t>(w.rows));
  stream.synchronize();
  stream.device().copy(inverse, norms.data(), w.rows * size_of(DType::f32));
  for (float& norm : norms) norm = 1 / norm;
  return norms;
}

}  // namespace

void load_row_norms(ShardedModel& model) {
  std::map<std::string, std::vector<float>> norms;  // of the tensors that this rank has a part of
  const auto is_mine = [&](const TensorSpec& tensor) {
    return is_quantized_norm(tensor) && std::ranges::any_of(model.layout().pieces(), [&](const ShardPiece& piece) {
             return piece.tensor->name == tensor.name;
           });
  };
  if (std::ranges::none_of(model.layout().unit_specs(),
                           [](const UnitSpec& unit) { return std::ranges::any_of(unit.tensors, is_quantized_norm); }))
    return;
  model.visit_units([&](size_t number, const FlatUnit& weights) {
    const UnitSpec& unit = model.layout().units()[number].spec;
    for (const TensorSpec& tensor : unit.tensors)
      if (is_mine(tensor)) norms[tensor.name] = row_norms(model, unit, tensor, weights);
  });
  for (const ShardPiece& piece : model.layout().pieces())
    if (is_quantized_norm(*piece.tensor))
      model.compute().device().copy(norms.at(piece.tensor->name).data() + piece.tensor_offset,
                                    element_of(model.state().master, piece.shard_offset),
                                    piece.count * size_of(DType::f32));
  model.cast_weights();
}

void load_checkpoint(ShardedModel& model, const WeightSource& base, const CheckpointReader& checkpoint) {
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
