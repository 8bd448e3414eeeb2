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
  NormKind norm = NormKind::rms;
  Activation activation = Activation::silu;
  RotarySpec rotary;
  int32_t padding_token = -1;  ///< ModelSpec's
  int64_t max_position_embeddings = 2048;
  double initializer_range = 0.02;
};

/// The model of these settings, with Llama's names.  A family changes what it has otherwise in its layers.
ModelSpec make_decoder(const DecoderSettings& settings);

/// What transformers' class of a family takes where config.json has no such key.
struct DecoderDefaults {
  int64_t V = 0, C = 0, F = 0, L = 0, H = 0;  ///< 0: the key has to be there
  int64_t G = 0;                              ///< 0: as many as there are heads
  int64_t head_width = 0;                     ///< 0: hidden_size over the heads
  int64_t max_positions = 2048;
  double norm_eps = 1e-6;
  bool tied = false;
  int64_t padding_token = -1;  ///< pad_token_id; -1: null
  const char* activation_key = "hidden_act";
  const char* activation = "silu";
};

/// Sizes, norms and embedding, as every family spells them; neither rotary positions nor biases.
DecoderSettings read_decoder(const ConfigReader& config, const DecoderDefaults& defaults = {});

/// What read_rotary() needs of the rest of a config.json.
struct RotaryFrame {
  int64_t head_width;
  int64_t max_positions;
  double theta = 10000;            ///< where it is not given
  int64_t original_positions = 0;  ///< where it is not given; 0: max_positions
  bool partial = false;            ///< partial_rotary_factor may be below 1
  bool longrope = false;           ///< the family knows it
};

/// rope_parameters of transformers 5, or rope_theta with rope_scaling before it.
RotarySpec read_rotary(const ConfigReader& config, const RotaryFrame& frame);
/// Of an object that holds one table's keys, which may leave out rope_theta.
RotarySpec read_rotary_object(const ConfigReader& object, const RotaryFrame& frame);

/// Two tables: of layers with full attention, and of those with a window.
struct LayerRotary {
  RotarySpec full, windowed;
};
/// rope_parameters with an object for each kind of layer, or rope_scaling, which is the full layers' alone.  `frame`:
/// of the full layers, `windowed_theta` of the others, where they are not given.
LayerRotary read_layer_rotary(const ConfigReader& config, const RotaryFrame& frame, double windowed_theta);
void set_layer_rotary(ModelSpec& model, const LayerRotary& rotary);

/// The window of each layer: what layer_types says, else `otherwise(layer)`, true for a layer that has `window`.
using HasWindow = bool (*)(int64_t layer, int64_t period);
std::vector<int64_t> read_windows(const ConfigReader& config, int64_t layers, int64_t window,
                                  HasWindow otherwise = nullptr, int64_t period = 0);

/// sliding_window, or transformers' default for the family; 0 where it is null.
int64_t read_window(const ConfigReader& config, int64_t otherwise);

/// x^-1/2, as the factor on the scores.
float inverse_root(double x);

// The files of the families.
ModelSpec read_llama(const ConfigReader& config);
ModelSpec read_mistral(const ConfigReader& config);
ModelSpec read_qwen2(const ConfigReader& config);
ModelSpec read_qwen3(const ConfigReader& config);
ModelSpec read_gemma(const ConfigReader& config);
ModelSpec read_gemma2(const ConfigReader& config);
ModelSpec read_gemma3(const ConfigReader& config);
ModelSpec read_gemma3_text_part(const ConfigReader& config);
ModelSpec read_phi3(const ConfigReader& config);
ModelSpec read_olmo2(const ConfigReader& config);
ModelSpec read_olmo3(const ConfigReader& config);
ModelSpec read_smollm3(const ConfigReader& config);
ModelSpec read_granite(const ConfigReader& config);

}  // namespace tessera
