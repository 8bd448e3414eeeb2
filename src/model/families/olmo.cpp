#include "model/families/decoder.h"

namespace tessera {
namespace {

/// Norms behind attention and MLP alone; q and k are normalised over their whole width.
ModelSpec make_olmo(const DecoderSettings& s) {
  ModelSpec model = make_decoder(s);
  const auto norm = [&](const char* module, int64_t width) { return NormSpec{s.norm, module, width, s.norm_eps}; };
  for (LayerSpec& layer : model.layers) {
    layer.before_attention = layer.before_mlp = {};
    layer.after_attention = norm("post_attention_layernorm", s.C);
    layer.after_mlp = norm("post_feedforward_layernorm", s.C);
    layer.attention.q_norm = norm("self_attn.q_norm", s.H * s.D);
    layer.attention.k_norm = norm("self_attn.k_norm", s.G * s.D);
  }
  return model;
}

DecoderSettings read_olmo_settings(const ConfigReader& config) {
  DecoderSettings s = read_decoder(config, {.norm_eps = 1e-5, .padding_token = 1});
  s.qkv_bias = s.o_bias = config.boolean("attention_bias", false);
  config.require_neutral("mlp_bias", "an olmo model has none there");
  return s;
}

}  // namespace

ModelSpec read_olmo2(const ConfigReader& config) {
  DecoderSettings s = read_olmo_settings(config);
  s.rotary = read_rotary(config, {s.D, s.max_position_embeddings});
  return make_olmo(s);
}

/// Three layers with a window to one without, whose rotary positions alone are scaled.
ModelSpec read_olmo3(const ConfigReader& config) {
  DecoderSettings s = read_olmo_settings(config);
  s.window =
      read_windows(config, s.L, read_window(config, 4096), [](int64_t layer, int64_t) { return (layer + 1) % 4 != 0; });
  constexpr double theta = 500'000;  // of layers with a window also where rope_theta says something else
  const LayerRotary rotary = read_layer_rotary(config, {s.D, s.max_position_embeddings, theta}, theta);
  ModelSpec model = make_olmo(s);
  set_layer_rotary(model, rotary);
  return model;
}

}  // namespace tessera
