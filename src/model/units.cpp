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
      matrices_.push_back({name + ".weight", {output.rows, linear.columns}, 0, true, TensorSpec::Init::normal});
      if (linear.bias) biases_.push_back({name + ".bias", {output.rows}, 0, false, TensorSpec::Init::zeros});
    }
  }
  void add(const NormSpec& norm) {
    const bool plus_one = norm.kind == NormKind::rms_plus_one;
    if (norm)
      norms_.push_back({prefix_ + norm.module + ".weight",
                        {norm.width},
                        0,
                        false,
                        plus_one ? TensorSpec::Init::zeros : TensorSpec::Init::ones});
  }

  UnitSpec build() {
    for (std::vector<TensorSpec>* const kind : {&matrices_, &norms_, &biases_})
      for (TensorSpec& tensor : *kind) {
        tensor.offset = blocks_.cut(tensor) ? round_up(unit_.size, blocks_.elements) : unit_.size;
        unit_.size = tensor.offset + tensor.size();
        unit_.tensors.push_back(std::move(tensor));
      }
    return std::move(unit_);
  }

 private:
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
    : offset_(unit.at(tensors.front()).offset), columns_(columns) {
  for (const std::string& name : tensors) {
    const TensorSpec& tensor = unit.at(name);
    if (tensor.offset != offset_ + rows_ * columns || tensor.size() % columns != 0)
      throw std::logic_error("unit " + unit.name + ": " + name + " does not lie beside " + tensors.front());
    rows_ += tensor.size() / columns;
  }
}

std::vector<UnitSpec> model_units(const ModelSpec& model, const TensorBlocks& blocks) {
  std::vector<UnitSpec> units;
  UnitBuilder embedding("embedding", "", blocks);
  embedding.add({{{model.embedding, model.V}}, model.C, false});
  units.push_back(embedding.build());
  for (size_t i = 0; i < model.layers.size(); ++i) units.push_back(layer_unit(model.layers[i], i, blocks));
  UnitBuilder head("head", "", blocks);
  if (!model.tied) head.add({{{model.head, model.V}}, model.C, false});
  head.add(model.final_norm);
  units.push_back(head.build());
  if (model.tied) units.back().borrows = 0;
  return units;
}

int64_t parameter_count(const ModelSpec& model) {
  int64_t count = 0;
  for (const UnitSpec& unit : model_units(model)) count += unit.size;
  return count;
}

int64_t multiplied_parameter_count(const ModelSpec& model) {
  return parameter_count(model) - (model.tied ? 0 : model.V * model.C);
}

}  // namespace tessera
