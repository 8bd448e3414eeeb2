#include <cmath>

#include "model/families/decoder.h"

namespace tessera {
namespace {

constexpr DecoderDefaults gemma_defaults{
    .head_width = 256, .max_positions = 8192, .tied = true, .padding_token = 0, .activation = "gelu_pytorch_tanh"};

DecoderSettings read_gemma_settings(const ConfigReader& config, const DecoderDefaults& defaults) {
  if (defaults.G == 0) config.integer("num_key_value_heads");  // transformers' default does not follow the heads
  DecoderSettings s = read_decoder(config, defaults);
  s.norm = NormKind::rms_plus_one;
  s.qkv_bias = s.o_bias = config.boolean("attention_bias", false);
  config.require_neutral("use_bidirectional_attention", "attention is causal");
  config.ignore({"hidden_act", "hidden_activation", "cache_implementation"});  // the one that its class does not read
  return s;
}

ModelSpec make_gemma(const DecoderSettings& s) {
  ModelSpec model = make_decoder(s);
  model.embedding_scale = std::sqrt(static_cast<float>(s.C));
  model.rounds_embedding_scale = true;
  return model;
}

/// What Gemma 2 and 3 share: norms before and behind, the factor on the scores.
ModelSpec make_gemma2(const ConfigReader& config, const DecoderSettings& s) {
  ModelSpec model = make_gemma(s);
  const float scale = inverse_root(config.positive("query_pre_attn_scalar", 256));
  const auto norm = [&](const char* module) { return NormSpec{s.norm, module, s.C, s.norm_eps}; };
  for (LayerSpec& layer : model.layers) {
    layer.after_attention = norm("post_attention_layernorm");
    layer.before_mlp = norm("pre_feedforward_layernorm");
    layer.after_mlp = norm("post_feedforward_layernorm");
    layer.attention.scale = scale;
  }
  return model;
}

/// 0 where it is null; `otherwise` where it is not given.
float read_softcap(const ConfigReader& config, const char* key, float otherwise) {
  if (config.has(key)) return static_cast<float>(config.positive(key, 1));
  return config.is_null(key) ? 0 : otherwise;
}

}  // namespace

/// Gemma 1: embeddings times √C, norms with 1 + w, GeGLU.
ModelSpec read_gemma(const ConfigReader& config) {
  DecoderSettings s = read_gemma_settings(config, gemma_defaults);
  s.rotary = read_rotary(config, {s.D, s.max_position_embeddings});
  return make_gemma(s);
}

/// Every other layer has a window; scores and logits have soft caps.
ModelSpec read_gemma2(const ConfigReader& config) {
  DecoderDefaults defaults = gemma_defaults;
  defaults.activation_key = "hidden_activation";
  DecoderSettings s = read_gemma_settings(config, defaults);
  s.rotary = read_rotary(config, {s.D, s.max_position_embeddings});
  s.window =
      read_windows(config, s.L, read_window(config, 4096), [](int64_t layer, int64_t) { return layer % 2 == 0; });
  ModelSpec model = make_gemma2(config, s);
  for (LayerSpec& layer : model.layers) layer.attention.softcap = read_softcap(config, "attn_logit_softcapping", 50);
  model.logits.softcap = read_softcap(config, "final_logit_softcapping", 30);
  return model;
}

/// Queries and keys are normalised; layers with a window have rotary positions of their own.
ModelSpec read_gemma3(const ConfigReader& config) {
  DecoderDefaults defaults = gemma_defaults;
  defaults.activation_key = "hidden_activation";
  defaults.V = 262208, defaults.C = 2304, defaults.F = 9216, defaults.L = 26, defaults.H = 8, defaults.G = 4;
  defaults.max_positions = 131072;
  DecoderSettings s = read_gemma_settings(config, defaults);
  s.qk_norm = true;
  config.ignore({"_sliding_window_pattern"});  // written beside layer_types
  const int64_t pattern = config.integer("sliding_window_pattern", 6);
  s.window = read_windows(
      config, s.L, read_window(config, 4096), [](int64_t layer, int64_t period) { return (layer + 1) % period != 0; },
      pattern);
  const LayerRotary rotary =
      read_layer_rotary(config, {s.D, s.max_position_embeddings, 1e6}, config.positive("rope_local_base_freq", 1e4));
  ModelSpec model = make_gemma2(config, s);
  set_layer_rotary(model, rotary);
  for (LayerSpec& layer : model.layers) layer.attention.softcap = read_softcap(config, "attn_logit_softcapping", 0);
  model.logits.softcap = read_softcap(config, "final_logit_softcapping", 0);
  return model;
}

/// Gemma 3 with images: its language model, which is read, trained and exported as a gemma3_text.
ModelSpec read_gemma3_text_part(const ConfigReader& config) {
  config.ignore({"vision_config", "mm_tokens_per_image", "boi_token_index", "eoi_token_index", "image_token_index",
                 "boi_token_id", "eoi_token_id", "tie_word_embeddings"});
  const ConfigReader part = config.object("text_config");
  part.ignore({"model_type"});
  ModelSpec model = read_gemma3(part);
  part.refuse_unread(" and might change what the model computes; remove the key if it does not");
  nlohmann::json text = part.json();
  text["model_type"] = "gemma3_text";
  text["architectures"] = {"Gemma3ForCausalLM"};
  model.config = text.dump(2) + "\n";
  model.names_in_files = {{"model.", "language_model.model."},
                          {"model.", "model.language_model."},
                          {"lm_head.", "language_model.lm_head."}};
  model.other_parts = {"vision_tower.", "multi_modal_projector.", "model.vision_tower.",
                       "model.multi_modal_projector."};
  return model;
}

}  // namespace tessera
