#include "model/families/decoder.h"

namespace tessera {

/// Llama with four multipliers.
ModelSpec read_granite(const ConfigReader& config) {
  DecoderSettings s = read_decoder(config);
  s.rotary = read_rotary(config, {s.D, s.max_position_embeddings});
  s.qkv_bias = s.o_bias = config.boolean("attention_bias", false);
  s.mlp_bias = config.boolean("mlp_bias", false);
  ModelSpec model = make_decoder(s);
  const auto multiplier = [&](const char* key) { return static_cast<float>(config.positive(key, 1)); };
  model.embedding_scale = multiplier("embedding_multiplier");
  model.logits.scale = 1 / multiplier("logits_scaling");
  for (LayerSpec& layer : model.layers) {
    layer.attention.scale = multiplier("attention_multiplier");
    layer.residual_scale = multiplier("residual_multiplier");
  }
  return model;
}

}  // namespace tessera
