#include "model/families/decoder.h"

namespace tessera {

/// Llama 2 and 3, and what has taken their form: SmolLM2, TinyLlama, Yi, …
ModelSpec read_llama(const ConfigReader& config) {
  DecoderSettings s = read_decoder(config);
  s.rotary = read_rotary(config, {s.D, s.max_position_embeddings});
  s.qkv_bias = s.o_bias = config.boolean("attention_bias", false);
  s.mlp_bias = config.boolean("mlp_bias", false);
  config.require_neutral("sliding_window", "a llama model has full attention");
  s.window = read_windows(config, s.L, /*window=*/0);
  config.ignore({"use_sliding_window", "max_window_layers"});
  return make_decoder(s);
}

}  // namespace tessera
