#include "trainer/weights.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "checkpoint/safetensors.h"

namespace tessera {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

void check_names(const ShardLayout& layout, const SafetensorsReader& reader, const std::string& where, bool tied) {
  std::set<std::string> known;
  for (const UnitShard& unit : layout.units())
    for (const TensorSpec& tensor : unit.spec.tensors) {
      known.insert(tensor.name);
      if (!reader.contains(tensor.name)) throw DataError("{}: tensor {} is missing", where, tensor.name);
      if (reader.shape(tensor.name) != tensor.shape)
        throw DataError("{}: tensor {} has shape {}, config.json asks for {}", where, tensor.name,
                        shape_text(reader.shape(tensor.name)), shape_text(tensor.shape));
    }
  for (const std::string& name : reader.names()) {
    const bool derived = name.ends_with("rotary_emb.inv_freq");  // old files store what config.json implies
    const bool tied_copy = tied && name == "lm_head.weight";
    if (!known.contains(name) && !derived && !tied_copy)
      throw DataError("{}: tensor {} has no place in the model that config.json describes", where, name);
  }
}

/// splitmix64 (Steele et al. 2014).
uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// The i-th standard normal of a stream: Box-Muller of two counter-based uniforms, so that any rank can make any of
/// them.
float normal_at(uint64_t stream, int64_t i) {
  const auto uniform = [&](uint64_t k) { return (static_cast<double>(mix(stream ^ mix(k)) >> 11) + 0.5) * 0x1p-53; };
  const auto k = static_cast<uint64_t>(i) * 2;
  return static_cast<float>(std::sqrt(-2 * std::log(uniform(k))) * std::cos(2 * std::numbers::pi * uniform(k + 1)));
}

}  // namespace

std::vector<TensorSlice> tensor_slices(const ShardedModel& model) {
  std::vector<TensorSlice> slices;
  const ShardState& state = model.state();
  for (const ShardPiece& piece : model.layout().pieces())
    slices.push_back({piece.tensor->name, piece.tensor->shape, piece.tensor_offset, piece.count,
                      state.master.as<float>() + piece.shard_offset, state.exp_avg.as<float>() + piece.shard_offset,
                      state.exp_avg_sq.as<float>() + piece.shard_offset});
  return slices;
}

void load_pretrained(ShardedModel& model, const std::filesystem::path& directory) {
  const SafetensorsReader reader(directory);
  check_names(model.layout(), reader, directory.string(), model.config().tied);
  for (const TensorSlice& slice : tensor_slices(model))
    reader.read(slice.name, slice.offset, slice.count, slice.master);
  model.cast_weights();
}

void initialise_random(ShardedModel& model, int64_t seed) {
  float* master = model.state().master.as<float>();
  for (const ShardPiece& piece : model.layout().pieces()) {
    float* out = master + piece.shard_offset;
    const auto deviation = static_cast<float>(model.config().initializer_range);
    const uint64_t stream =
        mix(static_cast<uint64_t>(seed)) ^ xxh3(piece.tensor->name.data(), piece.tensor->name.size());
    for (int64_t i = 0; i < piece.count; ++i) {
      switch (piece.tensor->init) {
        case TensorSpec::Init::normal:
          out[i] = deviation * normal_at(stream, piece.tensor_offset + i);
          break;
        case TensorSpec::Init::ones:
          out[i] = 1;
          break;
        case TensorSpec::Init::zeros:
          out[i] = 0;
          break;
      }
    }
  }
  model.cast_weights();
}

void load_checkpoint(ShardedModel& model, const CheckpointReader& checkpoint) {
  checkpoint.read(tensor_slices(model));
  model.cast_weights();
}

}  // namespace tessera
