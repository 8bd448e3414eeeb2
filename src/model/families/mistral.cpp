#include "model/families/decoder.h"

namespace tessera {

/// Llama with a window on every layer.
ModelSpec read_mistral(const ConfigReader& config) {
  config.integer("num_key_value_heads");  // transformers' default is 8, whatever the heads
  DecoderSettings s = read_decoder(config);
  s.rotary = read_rotary(config, {s.D, s.max_position_embeddings});
  config.require_neutral("attention_bias", "a mistral model has no biases");
  config.require_neutral("mlp_bias", "a mistral model has no biases");
  s.window = read_windows(config, s.L, read_window(config, 4096));
  config.ignore({"use_sliding_window", "max_window_layers"});
  return make_decoder(s);
}

}  // namespace tessera
