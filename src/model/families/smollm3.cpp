#include "base/error.h"
#include "model/families/decoder.h"

namespace tessera {
namespace {

/// Does a layer turn positions?  no_rope_layers has a 1 for those that do.
std::vector<bool> read_rotary_layers(const ConfigReader& config, int64_t layers) {
  const int64_t interval = config.integer("no_rope_layer_interval", 4);
  std::vector<bool> turns;
  if (!config.has("no_rope_layers")) {
    for (int64_t i = 0; i < layers; ++i) turns.push_back((i + 1) % interval != 0);
    return turns;
  }
  const nlohmann::json& list = config.at("no_rope_layers");
  if (!list.is_array() || static_cast<int64_t>(list.size()) != layers)
    throw DataError("{}: no_rope_layers needs {} entries", config.where(), layers);
  for (const auto& value : list) {
    if (value != 0 && value != 1)
      throw DataError("{}: no_rope_layers has {}, expected 0 or 1", config.where(), shown(value));
    turns.push_back(value == 1);
  }
  return turns;
}

}  // namespace

/// Llama, with layers whose positions turn nothing.
ModelSpec read_smollm3(const ConfigReader& config) {
  config.integer("num_key_value_heads");  // transformers' default is 4, whatever the heads
  DecoderSettings s = read_decoder(config, {.max_positions = 32768, .tied = true, .padding_token = 128004});
  s.rotary = read_rotary(config, {s.D, s.max_position_embeddings, 2e6});
  s.qkv_bias = s.o_bias = config.boolean("attention_bias", false);
  s.mlp_bias = config.boolean("mlp_bias", false);
  const std::vector<bool> turns = read_rotary_layers(config, s.L);
  config.ignore({"sliding_window", "max_window_layers"});
  const bool windowed = config.boolean("use_sliding_window", false) && config.has("sliding_window");
  const int64_t window = windowed ? read_window(config, 0) : 0;
  if (windowed && !config.has("layer_types"))
    for (const bool turned : turns) s.window.push_back(turned ? 0 : window);
  else
    s.window = windowed ? read_windows(config, s.L, window) : std::vector<int64_t>();
  config.ignore({"layer_types"});
  ModelSpec model = make_decoder(s);
  for (size_t i = 0; i < turns.size(); ++i)
    if (!turns[i]) model.layers[i].attention.rotary = -1;
  return model;
}

}  // namespace tessera
