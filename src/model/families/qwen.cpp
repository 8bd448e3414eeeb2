#include "model/families/decoder.h"

namespace tessera {
namespace {

/// The upper layers have a window, where it is switched on.
std::vector<int64_t> read_qwen_windows(const ConfigReader& config, int64_t layers) {
  config.ignore({"sliding_window", "max_window_layers"});  // where it is off
  if (!config.boolean("use_sliding_window", false)) return read_windows(config, layers, /*window=*/0);
  const auto upper = [](int64_t layer, int64_t first) { return layer >= first; };
  return read_windows(config, layers, read_window(config, 4096), upper, config.whole("max_window_layers", 28));
}

}  // namespace

/// Qwen2 and 2.5: Llama with biases on q, k and v.
ModelSpec read_qwen2(const ConfigReader& config) {
  config.integer("num_key_value_heads");  // transformers' default is 32, whatever the heads
  DecoderSettings s = read_decoder(config);
  s.rotary = read_rotary(config, {s.D, s.max_position_embeddings});
  s.qkv_bias = true;
  config.ignore({"attention_bias"});
  config.require_neutral("mlp_bias", "a qwen2 model has none there");
  s.window = read_qwen_windows(config, s.L);
  return make_decoder(s);
}

/// Qwen3: each query and key head is normalised.
ModelSpec read_qwen3(const ConfigReader& config) {
  config.integer("num_key_value_heads");  // transformers' default is 32, whatever the heads
  DecoderSettings s = read_decoder(config, {.head_width = 128});
  s.rotary = read_rotary(config, {s.D, s.max_position_embeddings});
  s.qk_norm = true;
  s.qkv_bias = s.o_bias = config.boolean("attention_bias", false);
  config.require_neutral("mlp_bias", "a qwen3 model has none there");
  s.window = read_qwen_windows(config, s.L);
  return make_decoder(s);
}

}  // namespace tessera
