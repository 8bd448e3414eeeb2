#include "model/families/decoder.h"

namespace tessera {

/// Phi-3, 3.5, 4 and 4-mini: q, k and v are one tensor in the file, as are gate and up; longrope, of part of a head in
/// 4-mini.
ModelSpec read_phi3(const ConfigReader& config) {
  DecoderSettings s = read_decoder(config, {.max_positions = 4096, .norm_eps = 1e-5, .padding_token = 32000});
  for (const char* dropout : {"embd_pdrop", "resid_pdrop"}) config.require_neutral(dropout, "training has no dropout");
  config.require_neutral("attention_bias", "a phi3 model has no biases");
  const int64_t original = config.integer("original_max_position_embeddings", 4096);
  s.rotary = read_rotary(config, {.head_width = s.D,
                                  .max_positions = s.max_position_embeddings,
                                  .original_positions = original,
                                  .partial = true,
                                  .longrope = true});
  s.window = read_windows(config, s.L, config.has("sliding_window") ? read_window(config, 0) : 0);
  ModelSpec model = make_decoder(s);
  for (LayerSpec& layer : model.layers) {
    layer.attention.qkv.outputs = {{"self_attn.qkv_proj", layer.attention.qkv.rows()}};
    layer.mlp.gate_up.outputs = {{"mlp.gate_up_proj", 2 * s.F}};
  }
  return model;
}

}  // namespace tessera
