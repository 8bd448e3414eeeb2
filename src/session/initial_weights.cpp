#include "session/initial_weights.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

#include "base/error.h"
#include "base/hash.h"
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
      if (tensor.is_adapter) continue;
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

/// A uniform number in [-1, 1) of a stream.
float uniform_at(uint64_t stream, int64_t i) {
  const uint64_t bits = splitmix64(stream ^ splitmix64(static_cast<uint64_t>(i)));
  return static_cast<float>((static_cast<double>(bits >> 11) + 0.5) * 0x1p-52 - 1);
}

}  // namespace

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

// ---- base_adapter ----

AdapterWeights::AdapterWeights(const std::filesystem::path& directory, const ModelSpec& spec)
    : reader_(directory, "adapter_model"), tied_(spec.tied), embedding_(embedding_name(spec)), head_(head_name(spec)) {
  std::set<std::string> known;
  for (const UnitSpec& unit : model_units(spec))
    for (const TensorSpec& tensor : unit.tensors) {
      if (tensor.band() != Band::trained) continue;
      const std::string name = name_of(tensor.name);
      known.insert(name);
      if (!reader_.contains(name))
        throw DataError("{}: tensor {} is missing; the adapter belongs to another base, or to other target modules",
                        directory.string(), name);
      if (reader_.shape(name) != tensor.shape)
        throw DataError("{}: tensor {} has shape {}, but {} for the model in [model] base with this lora_r",
                        directory.string(), name, shape_text(reader_.shape(name)), shape_text(tensor.shape));
    }
  for (const std::string& name : reader_.names())
    if (!known.contains(name) && !(tied_ && (name == prefix + head_ || name == prefix + embedding_)))
      throw DataError("{}: tensor {} has no place in the model in [model] base", directory.string(), name);
}

std::string AdapterWeights::name_of(const std::string& tensor) const {
  const std::string name = prefix + tensor;
  // One tensor of two names: PEFT may have written either.
  if (tied_ && tensor == embedding_ && !reader_.contains(name)) return prefix + head_;
  return name;
}

void AdapterWeights::read(const std::string& tensor, int64_t offset, int64_t count, float* out) const {
  reader_.read(name_of(tensor), offset, count, out);
}

// ---- all of them ----

InitialWeights::InitialWeights(const Job& job, const ModelSpec& spec, int threads)
    : units_(model_units(spec)),
      seed_(job.job.seed),
      deviation_(static_cast<float>(spec.initializer_range)),
      threads_(threads) {
  if (job.model.init == Init::pretrained) base_.emplace(job.model.base, spec);
  if (job.adapter.type != AdapterType::none && !job.adapter.base_adapter.empty())
    adapter_.emplace(job.adapter.base_adapter, spec);
}

void InitialWeights::read(const TensorSpec& tensor, int64_t offset, int64_t count, float* out) const {
  if (adapter_ && tensor.band() == Band::trained) return adapter_->read(tensor.name, offset, count, out);
  if (base_ && !tensor.is_adapter) return base_->read(tensor.name, offset, count, out);
  make(tensor, offset, count, out);
}

void InitialWeights::make(const TensorSpec& tensor, int64_t offset, int64_t count, float* out) const {
  using Kind = TensorSpec::Init;
  if (tensor.init == Kind::row_norms) return make_row_norms(tensor, offset, count, out);
  const uint64_t stream = splitmix64(static_cast<uint64_t>(seed_)) ^ xxh3(tensor.name.data(), tensor.name.size());
  const auto value = [&](int64_t i) {
    switch (tensor.init) {
      case Kind::normal:
        return deviation_ * normal_at(stream, i);
      case Kind::ones:
        return 1.0f;
      case Kind::zeros:
        return 0.0f;
      case Kind::lora_a:
        return uniform_at(stream, i) / std::sqrt(static_cast<float>(tensor.shape.back()));
      case Kind::lora_a_gaussian:
        return normal_at(stream, i) / static_cast<float>(tensor.shape.front());
      case Kind::quantized_row_norms:  // until load_row_norms()
        return 0.0f;
      case Kind::row_norms:
        break;
    }
    throw std::logic_error("a tensor begins in no known way");
  };
  parallel_for(threads_, count, 1 << 14, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) out[i] = value(offset + i);
  });
}

/// Of the weight beside the vector: B is zero at the start.
void InitialWeights::make_row_norms(const TensorSpec& tensor, int64_t offset, int64_t count, float* out) const {
  const std::string module = tensor.name.substr(0, tensor.name.rfind('.'));
  const TensorSpec* weight = nullptr;
  for (const UnitSpec& unit : units_)
    for (const TensorSpec& other : unit.tensors)
      if (other.name == module + ".weight") weight = &other;
  const int64_t columns = weight->shape.back();
  std::vector<float> row(static_cast<size_t>(columns));
  for (int64_t i = 0; i < count; ++i) {
    read(*weight, (offset + i) * columns, columns, row.data());
    double squares = 0;
    for (const float x : row) squares += static_cast<double>(x) * x;
    out[i] = static_cast<float>(std::sqrt(squares));
  }
}

}  // namespace tessera
