#include "model/tensors.h"

#include <fmt/format.h>

#include <functional>
#include <numeric>

namespace tessera {
namespace {

/// Lays tensors side by side in a unit's flat buffer.
class UnitBuilder {
 public:
  explicit UnitBuilder(std::string name) { unit_.name = std::move(name); }

  void weight(const std::string& name, int64_t rows, int64_t cols) {
    add({name + ".weight", {rows, cols}, 0, true, TensorSpec::Init::normal});
  }
  void bias(const std::string& name, int64_t n) { add({name + ".bias", {n}, 0, false, TensorSpec::Init::zeros}); }
  void norm(const std::string& name, int64_t n) { add({name + ".weight", {n}, 0, false, TensorSpec::Init::ones}); }
  UnitSpec build() { return std::move(unit_); }

 private:
  void add(TensorSpec tensor) {
    tensor.offset = unit_.size;
    unit_.size += tensor.size();
    unit_.tensors.push_back(std::move(tensor));
  }
  UnitSpec unit_;
};

UnitSpec layer_unit(const ModelConfig& c, int64_t layer) {
  UnitBuilder unit(fmt::format("layer {}", layer));
  const std::string prefix = fmt::format("model.layers.{}.", layer), attention = prefix + "self_attn.",
                    mlp = prefix + "mlp.";
  unit.weight(attention + "q_proj", c.H * c.D, c.C);
  unit.weight(attention + "k_proj", c.G * c.D, c.C);
  unit.weight(attention + "v_proj", c.G * c.D, c.C);
  unit.weight(attention + "o_proj", c.C, c.H * c.D);
  unit.weight(mlp + "gate_proj", c.F, c.C);
  unit.weight(mlp + "up_proj", c.F, c.C);
  unit.weight(mlp + "down_proj", c.C, c.F);
  unit.norm(prefix + "input_layernorm", c.C);
  unit.norm(prefix + "post_attention_layernorm", c.C);
  if (c.qk_norm) {
    unit.norm(attention + "q_norm", c.D);
    unit.norm(attention + "k_norm", c.D);
  }
  if (c.qkv_bias) {
    unit.bias(attention + "q_proj", c.H * c.D);
    unit.bias(attention + "k_proj", c.G * c.D);
    unit.bias(attention + "v_proj", c.G * c.D);
  }
  if (c.o_bias) unit.bias(attention + "o_proj", c.C);
  if (c.mlp_bias) {
    unit.bias(mlp + "gate_proj", c.F);
    unit.bias(mlp + "up_proj", c.F);
    unit.bias(mlp + "down_proj", c.C);
  }
  return unit.build();
}

}  // namespace

int64_t TensorSpec::size() const {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::vector<UnitSpec> model_units(const ModelConfig& config) {
  std::vector<UnitSpec> units;
  UnitBuilder embedding("embedding");
  embedding.weight("model.embed_tokens", config.V, config.C);
  units.push_back(embedding.build());
  for (int64_t layer = 0; layer < config.L; ++layer) units.push_back(layer_unit(config, layer));
  UnitBuilder head("head");
  if (!config.tied) head.weight("lm_head", config.V, config.C);
  head.norm("model.norm", config.C);
  units.push_back(head.build());
  return units;
}

int64_t parameter_count(const ModelConfig& config) {
  int64_t count = 0;
  for (const UnitSpec& unit : model_units(config)) count += unit.size;
  return count;
}

int64_t multiplied_parameter_count(const ModelConfig& config) {
  return parameter_count(config) - (config.tied ? 0 : config.V * config.C);
}

}  // namespace tessera
