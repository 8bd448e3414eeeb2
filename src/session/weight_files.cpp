#include "session/weight_files.h"

#include <algorithm>
#include <set>
#include <vector>

#include "base/error.h"
#include "checkpoint/tensor_shape.h"

namespace tessera {
namespace {

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

/// The tensors that bitsandbytes has quantised.
std::map<std::string, Nf4Tensor> find_quantized(const SafetensorsReader& reader, const std::string& where) {
  std::map<std::string, Nf4Tensor> found;
  for (const std::string& state : reader.names())
    if (state.ends_with(Nf4Tensor::state_suffix)) {
      const std::string name = state.substr(0, state.size() - Nf4Tensor::state_suffix.size());
      found.emplace(name, Nf4Tensor(reader, where, name));
    }
  if (found.empty())
    throw DataError("{}: config.json has a quantization_config, but no tensor is quantised; remove the key if so",
                    where);
  return found;
}

void check_names(const ModelSpec& spec, const SafetensorsReader& reader, const std::string& where,
                 const std::map<std::string, Nf4Tensor>& quantized) {
  std::set<std::string> known;
  for (const UnitSpec& unit : model_units(spec))
    for (const TensorSpec& tensor : unit.tensors) {
      if (tensor.is_adapter) continue;
      const std::string name = name_in(reader, spec, tensor.name);
      known.insert(name);
      if (!reader.contains(name)) throw DataError("{}: tensor {} is missing", where, name);
      const auto found = quantized.find(name);
      const std::vector<int64_t>& shape = found == quantized.end() ? reader.shape(name) : found->second.shape();
      if (shape != tensor.shape)
        throw DataError("{}: tensor {} has shape {}, but {} by config.json", where, name, shape_text(shape),
                        shape_text(tensor.shape));
      if (found != quantized.end()) known.merge(found->second.names());
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

}  // namespace

PretrainedWeights::PretrainedWeights(const std::filesystem::path& directory, const ModelSpec& spec)
    : where_(directory.string()),
      reader_(directory),
      spec_(spec),
      quantized_(spec.quantized_files ? find_quantized(reader_, where_) : std::map<std::string, Nf4Tensor>()),
      embedding_(name_in(reader_, spec, embedding_name(spec))),
      head_(name_in(reader_, spec, head_name(spec))),
      has_two_names_(spec.tied && reader_.contains(head_)) {
  check_names(spec, reader_, where_, quantized_);
  if (has_two_names_ && reader_.shape(head_) != reader_.shape(embedding_)) throw_not_tied(where_, embedding_, head_);
}

void PretrainedWeights::read(const std::string& name, int64_t offset, int64_t count, float* out) const {
  const std::string there = name_in(reader_, spec_, name);
  if (const Nf4Tensor* const quantized = nf4(name)) return quantized->read(offset, count, out);
  reader_.read(there, offset, count, out);
  if (!has_two_names_ || there != embedding_) return;
  std::vector<float> head(static_cast<size_t>(count));
  reader_.read(head_, offset, count, head.data());
  if (!std::equal(head.begin(), head.end(), out)) throw_not_tied(where_, embedding_, head_);
}

const Nf4Tensor* PretrainedWeights::nf4(const std::string& name) const {
  const auto found = quantized_.find(name_in(reader_, spec_, name));
  return found == quantized_.end() ? nullptr : &found->second;
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

}  // namespace tessera
