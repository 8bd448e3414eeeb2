#include "session/weights.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/number.h"
#include "base/splitmix.h"
#include "device/parallel.h"

namespace tessera {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::string embedding_name(const ModelSpec& spec) { return spec.embedding + ".weight"; }
std::string head_name(const ModelSpec& spec) { return spec.head + ".weight"; }

/// The name of a tensor in the files.
std::string name_in(const SafetensorsReader& reader, const ModelSpec& spec, const std::string& name) {
  for (const ModelSpec::Rename& rename : spec.names_in_files)
    if (name.starts_with(rename.from))
      if (std::string there = rename.to + name.substr(rename.from.size()); reader.contains(there)) return there;
  return name;
}

bool is_of_other_part(const ModelSpec& spec, const std::string& name) {
  return std::any_of(spec.other_parts.begin(), spec.other_parts.end(),
                     [&](const std::string& beginning) { return name.starts_with(beginning); });
}

void check_names(const ModelSpec& spec, const SafetensorsReader& reader, const std::string& where) {
  std::set<std::string> known;
  for (const UnitSpec& unit : model_units(spec))
    for (const TensorSpec& tensor : unit.tensors) {
      const std::string name = name_in(reader, spec, tensor.name);
      known.insert(name);
      if (!reader.contains(name)) throw DataError("{}: tensor {} is missing", where, name);
      if (reader.shape(name) != tensor.shape)
        throw DataError("{}: tensor {} has shape {}, but {} by config.json", where, name,
                        shape_text(reader.shape(name)), shape_text(tensor.shape));
    }
  for (const std::string& name : reader.names()) {
    const bool derived = name.ends_with("rotary_emb.inv_freq");  // old files store what config.json implies
    const bool tied_copy = spec.tied && name == name_in(reader, spec, head_name(spec));
    if (!known.contains(name) && !derived && !tied_copy && !is_of_other_part(spec, name))
      throw DataError("{}: tensor {} is not part of the model that config.json describes", where, name);
  }
}

[[noreturn]] void throw_not_tied(const std::string& where, const std::string& embedding, const std::string& head) {
  throw DataError(
      "{}: {} differs from {}, but config.json ties the two; set tie_word_embeddings = false to train both, or remove "
      "{} from the files",
      where, head, embedding, head);
}

/// The i-th standard normal of a stream: Box-Muller of two counter-based uniforms, so that any rank can make any of
/// them.
float normal_at(uint64_t stream, int64_t i) {
  const auto uniform = [&](uint64_t k) {
    return (static_cast<double>(splitmix64(stream ^ splitmix64(k)) >> 11) + 0.5) * 0x1p-53;
  };
  const auto k = static_cast<uint64_t>(i) * 2;
  return static_cast<float>(std::sqrt(-2 * std::log(uniform(k))) * std::cos(2 * std::numbers::pi * uniform(k + 1)));
}

/// `count` numbers in pieces of some MiB, each filled in host memory by fill(begin, n, memory) and then copied
/// to the shard.
template <typename Fill>
void load_in_pieces(ShardedModel& model, float* to, int64_t count, std::vector<float>& piece, const Fill& fill) {
  constexpr int64_t elements = 4 << 20;
  for (int64_t begin = 0; begin < count; begin += elements) {
    const int64_t n = std::min(elements, count - begin);
    piece.resize(static_cast<size_t>(n));
    fill(begin, n, piece.data());
    model.compute().device().copy(piece.data(), to + begin, n * size_of(DType::f32));
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

PretrainedWeights::PretrainedWeights(const std::filesystem::path& directory, const ModelSpec& spec)
    : where_(directory.string()),
      reader_(directory),
      spec_(spec),
      embedding_(name_in(reader_, spec, embedding_name(spec))),
      head_(name_in(reader_, spec, head_name(spec))),
      has_two_names_(spec.tied && reader_.contains(head_)) {
  check_names(spec, reader_, where_);
  if (has_two_names_ && reader_.shape(head_) != reader_.shape(embedding_)) throw_not_tied(where_, embedding_, head_);
}

void PretrainedWeights::read(const std::string& name, int64_t offset, int64_t count, float* out) const {
  const std::string there = name_in(reader_, spec_, name);
  reader_.read(there, offset, count, out);
  if (!has_two_names_ || there != embedding_) return;
  std::vector<float> head(static_cast<size_t>(count));
  reader_.read(head_, offset, count, head.data());
  if (!std::equal(head.begin(), head.end(), out)) throw_not_tied(where_, embedding_, head_);
}

void load_pretrained(ShardedModel& model, const std::filesystem::path& directory) {
  const PretrainedWeights weights(directory, model.spec());
  std::vector<float> memory;
  for (const TensorSlice& slice : tensor_slices(model))
    load_in_pieces(
        model, static_cast<float*>(slice.values.front().data), slice.count, memory,
        [&](int64_t begin, int64_t n, float* out) { weights.read(slice.name, slice.offset + begin, n, out); });
  model.cast_weights();
}

void initialise_random(ShardedModel& model, int64_t seed, int threads) {
  float* master = model.state().master.as<float>();
  const auto deviation = static_cast<float>(model.spec().initializer_range);
  std::vector<float> memory;
  for (const ShardPiece& piece : model.layout().pieces()) {
    const uint64_t stream =
        splitmix64(static_cast<uint64_t>(seed)) ^ xxh3(piece.tensor->name.data(), piece.tensor->name.size());
    const auto value = [&](int64_t i) {
      if (piece.tensor->init == TensorSpec::Init::normal) return deviation * normal_at(stream, piece.tensor_offset + i);
      return piece.tensor->init == TensorSpec::Init::ones ? 1.0f : 0.0f;
    };
    load_in_pieces(model, master + piece.shard_offset, piece.count, memory, [&](int64_t begin, int64_t n, float* out) {
      parallel_for(threads, n, 1 << 14, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) out[i] = value(begin + i);
      });
    });
  }
  model.cast_weights();
}

void load_initial_weights(ShardedModel& model, const Job& job, int threads) {
  if (job.model.init == Init::random)
    initialise_random(model, job.job.seed, threads);
  else
    load_pretrained(model, job.model.base);
}

void load_checkpoint(ShardedModel& model, const CheckpointReader& checkpoint) {
  for (const TensorSlice& slice : tensor_slices(model))
    for (const SliceValues& values : slice.values)
      checkpoint.stream(slice, values, [&](const void* piece, int64_t at, int64_t count) {
        const int64_t bytes = size_of(values.type);
        model.compute().device().copy(piece, static_cast<char*>(values.data) + at * bytes, count * bytes);
      });
  model.cast_weights();
}

}  // namespace tessera
