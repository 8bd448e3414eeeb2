#include "model/units.h"

#include <fmt/format.h>

#include <functional>
#include <numeric>
#include <stdexcept>

#include "base/number.h"

namespace tessera {
namespace {

/// Collects a unit's tensors and lays them side by side.
class UnitBuilder {
 public:
  UnitBuilder(std::string name, std::string prefix, const TensorBlocks& blocks)
      : prefix_(std::move(prefix)), blocks_(blocks) {
    unit_.name = std::move(name);
  }

  void add(const LinearSpec& linear) {
    for (const LinearSpec::Output& output : linear.outputs) {
      const std::string name = prefix_ + output.module;
      matrices_.push_back(
          {.name = name + ".weight", .shape = {output.rows, linear.columns}, .storage = output.storage});
      const Storage of_bias = output.storage == Storage::trained ? Storage::trained : Storage::frozen;
      if (linear.bias) add_vector(biases_, name + ".bias", output.rows, TensorSpec::Init::zeros, of_bias);
    }
    add_adapters(linear);
  }
  void add(const NormSpec& norm) {
    if (!norm) return;
    const bool plus_one = norm.kind == NormKind::rms_plus_one;
    add_vector(norms_, prefix_ + norm.module + ".weight", norm.width,
               plus_one ? TensorSpec::Init::zeros : TensorSpec::Init::ones, norm.storage);
  }

  UnitSpec build() {
    for (std::vector<TensorSpec>* const kind : {&matrices_, &norms_, &biases_})
      for (TensorSpec& tensor : *kind) {
        int64_t& end = unit_.sizes[static_cast<size_t>(tensor.band())];
        tensor.offset = blocks_.cut(tensor) ? round_up(end, blocks_.elements) : end;
        end = tensor.offset + tensor.size();
        unit_.tensors.push_back(std::move(tensor));
      }
    return std::move(unit_);
  }

 private:
  static void add_vector(std::vector<TensorSpec>& to, std::string name, int64_t size, TensorSpec::Init init,
                         Storage storage) {
    to.push_back({.name = std::move(name), .shape = {size}, .decay = false, .init = init, .storage = storage});
  }
  /// All A of a product side by side, then all B.
  void add_adapters(const LinearSpec& linear) {
    using Init = TensorSpec::Init;
    for (const auto& [module, rows, storage, lora] : linear.outputs)
      if (lora)
        matrices_.push_back({.name = prefix_ + module + ".lora_A.weight",
                             .shape = {lora.r, linear.columns},
                             .init = lora.gaussian ? Init::lora_a_gaussian : Init::lora_a,
                             .is_adapter = true});
    for (const auto& [module, rows, storage, lora] : linear.outputs)
      if (lora)
        matrices_.push_back({.name = prefix_ + module + ".lora_B.weight",
                             .shape = {rows, lora.r},
                             .init = Init::zeros,
                             .is_adapter = true,
                             .rate = lora.b_rate});
    for (const auto& [module, rows, storage, lora] : linear.outputs)
      if (lora.dora)
        norms_.push_back({.name = prefix_ + module + ".lora_magnitude_vector",
                          .shape = {rows},
                          .init = is_quantized(storage) ? Init::quantized_row_norms : Init::row_norms,
                          .is_adapter = true});
  }

  std::string prefix_;
  TensorBlocks blocks_;
  UnitSpec unit_;
  std::vector<TensorSpec> matrices_, norms_, biases_;
};

UnitSpec layer_unit(const LayerSpec& layer, size_t number, const TensorBlocks& blocks) {
  UnitBuilder unit(fmt::format("layer {}", number), layer.prefix, blocks);
  for (const LinearSpec* linear : {&layer.attention.qkv, &layer.attention.o, &layer.mlp.gate_up, &layer.mlp.down})
    unit.add(*linear);
  for (const NormSpec* norm : {&layer.before_attention, &layer.after_attention, &layer.before_mlp, &layer.after_mlp,
                               &layer.attention.q_norm, &layer.attention.k_norm})
    unit.add(*norm);
  return unit.build();
}

}  // namespace

int64_t TensorSpec::size() const {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

const TensorSpec& UnitSpec::at(std::string_view tensor) const {
  for (const TensorSpec& found : tensors)
    if (found.name == tensor) return found;
  throw std::logic_error("unit " + name + " has no tensor " + std::string(tensor));
}

MatrixPlace::MatrixPlace(const UnitSpec& unit, const std::vector<std::string>& tensors, int64_t columns)
    : band_(unit.at(tensors.front()).band()), offset_(unit.at(tensors.front()).offset), columns_(columns) {
  for (const std::string& name : tensors) {
    const TensorSpec& tensor = unit.at(name);
    if (tensor.band() != band_ || tensor.offset != offset_ + rows_ * columns || tensor.size() % columns != 0)
      throw std::logic_error("unit " + unit.name + ": " + name + " does not lie beside " + tensors.front());
    rows_ += tensor.size() / columns;
  }
}

std::vector<UnitSpec> model_units(const ModelSpec& model, const TensorBlocks& blocks) {
  std::vector<UnitSpec> units;
  UnitBuilder embedding("embedding", "", blocks);
  embedding.add({{{model.embedding, model.V, model.embedding_storage}}, model.C, false});
  units.push_back(embedding.build());
  for (size_t i = 0; i < model.layers.size(); ++i) units.push_back(layer_unit(model.layers[i], i, blocks));
  UnitBuilder head("head", "", blocks);
  if (!model.tied) head.add({{{model.head, model.V, model.head_storage}}, model.C, false});
  head.add(model.final_norm);
  units.push_back(head.build());
  if (model.tied) units.back().borrows = 0;
  return units;
}

int64_t parameter_count(const ModelSpec& model, std::optional<Band> band) {
  int64_t count = 0;
  for (const UnitSpec& unit : model_units(model))
    for (const TensorSpec& tensor : unit.tensors)
      if (!band || tensor.band() == *band) count += tensor.size();
  return count;
}

std::string weights_text(const ModelSpec& model) {
  const int64_t all = parameter_count(model), trained = parameter_count(model, Band::trained);
  return trained == all ? fmt::format("{} weights", all)
                        : fmt::format("{} weights, of which {} are trained", all, trained);
}

int64_t multiplied_parameter_count(const ModelSpec& model, std::optional<Band> band) {
  const bool counted = !band || (model.embedding_storage == Storage::trained) == (*band == Band::trained);
  return parameter_count(model, band) - (model.tied || !counted ? 0 : model.V * model.C);
}

}  // namespace tessera
