#pragma once
#include <vector>

#include "model/families/config_reader.h"
#include "model/spec.h"

/// What the families have in common: decoders that are Llama's (Touvron et al. 2023) with other sizes and switches.
namespace tessera {

struct DecoderSettings {
  int64_t V = 0, C = 0, F = 0, L = 0, H = 0, G = 0, D = 0;
  bool tied = false;
  bool qkv_bias = false, o_bias = false, mlp_bias = false;
  bool qk_norm = false;         ///< RMSNorm of each query and key head
  std::vector<int64_t> window;  ///< of each layer; empty: none has one
  double norm_eps = 1e-6;
  RotarySpec rotary;
  int64_t max_position_embeddings = 2048;
  double initializer_range = 0.02;
};

/// The model of these settings, with Llama's names.
ModelSpec make_decoder(const DecoderSettings& settings);

/// Sizes, norms, embedding and rotary positions, as every family spells them.  `head_width`: where head_dim is not
/// given; 0: hidden_size over the heads.
DecoderSettings read_decoder(const ConfigReader& config, int64_t head_width = 0);

/// rope_parameters of transformers 5, or rope_theta with rope_scaling before it.
RotarySpec read_rotary(const ConfigReader& config, int64_t width, int64_t max_positions);

/// The window of each layer: what layer_types says, else `window` from layer `first` on.
std::vector<int64_t> read_windows(const ConfigReader& config, int64_t layers, int64_t window, int64_t first = 0);

/// sliding_window, or transformers' default for the family; 0 where it is null.
int64_t read_window(const ConfigReader& config, int64_t otherwise);

// The files of the families.
ModelSpec read_llama(const ConfigReader& config);
ModelSpec read_mistral(const ConfigReader& config);
ModelSpec read_qwen2(const ConfigReader& config);
ModelSpec read_qwen3(const ConfigReader& config);

}  // namespace tessera
