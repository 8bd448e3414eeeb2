#include "model/weights.h"

#include <stdexcept>
#include <string_view>

namespace tessera {
namespace {

/// Finds tensors of a unit by the end of their names.
class Finder {
 public:
  Finder(const UnitSpec& unit, void* flat, DType dtype) : unit_(unit), flat_(static_cast<char*>(flat)), dtype_(dtype) {}

  /// A view [rows, cols] that begins at the named tensor (and may reach over the ones behind it).
  View at(std::string_view name, int64_t rows, int64_t cols) const {
    for (const TensorSpec& tensor : unit_.tensors)
      if (tensor.name.ends_with(name)) return {flat_ + tensor.offset * size_of(dtype_), dtype_, rows, cols};
    throw std::logic_error("unit " + unit_.name + " has no tensor " + std::string(name));
  }

 private:
  const UnitSpec& unit_;
  char* flat_;
  DType dtype_;
};

}  // namespace

LayerWeights layer_weights(const ModelConfig& c, const UnitSpec& unit, void* flat, DType dtype) {
  const Finder find(unit, flat, dtype);
  LayerWeights w;
  w.qkv = find.at("q_proj.weight", (c.H + 2 * c.G) * c.D, c.C);
  w.o = find.at("o_proj.weight", c.C, c.H * c.D);
  w.gate_up = find.at("gate_proj.weight", 2 * c.F, c.C);
  w.down = find.at("down_proj.weight", c.C, c.F);
  w.input_norm = find.at("input_layernorm.weight", 1, c.C);
  w.post_norm = find.at("post_attention_layernorm.weight", 1, c.C);
  if (c.qk_norm) {
    w.q_norm = find.at("q_norm.weight", 1, c.D);
    w.k_norm = find.at("k_norm.weight", 1, c.D);
  }
  if (c.qkv_bias) w.qkv_bias = find.at("q_proj.bias", 1, (c.H + 2 * c.G) * c.D);
  if (c.o_bias) w.o_bias = find.at("o_proj.bias", 1, c.C);
  if (c.mlp_bias) {
    w.gate_up_bias = find.at("gate_proj.bias", 1, 2 * c.F);
    w.down_bias = find.at("down_proj.bias", 1, c.C);
  }
  return w;
}

View embedding_weights(const ModelConfig& config, void* flat, DType dtype) { return {flat, dtype, config.V, config.C}; }

HeadWeights head_weights(const ModelConfig& c, const UnitSpec& unit, void* flat, DType dtype, View embedding) {
  const Finder find(unit, flat, dtype);
  return {find.at("model.norm.weight", 1, c.C), c.tied ? embedding : find.at("lm_head.weight", c.V, c.C)};
}

}  // namespace tessera
