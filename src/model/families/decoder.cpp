#include "model/families/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace tessera {
namespace {

constexpr int64_t largest_position = std::numeric_limits<int32_t>::max();

/// What rope_type linear, llama3 and yarn are made of; each number within what its formula can use.
void read_scaling(const ConfigReader& p, RotarySpec& rope, double max_positions) {
  constexpr double largest = 1e12;
  rope.original_max_position_embeddings = p.number("original_max_position_embeddings", max_positions, 1, largest);
  rope.factor = p.number("factor", 0, 0, largest);
  if (rope.factor == 0 && rope.type == RopeType::yarn)
    rope.factor = max_positions / rope.original_max_position_embeddings;
  if (rope.factor <= 0) throw DataError("{}: factor is missing", p.where());
  if (rope.type == RopeType::llama3)
    for (const char* needed : {"low_freq_factor", "high_freq_factor", "original_max_position_embeddings"})
      if (!p.has(needed)) throw DataError("{}: {} is missing", p.where(), needed);
  rope.low_freq_factor = p.positive("low_freq_factor", 1);
  rope.high_freq_factor = p.positive("high_freq_factor", 4);
  if (rope.high_freq_factor <= rope.low_freq_factor)
    throw DataError("{}: high_freq_factor {} is not above low_freq_factor {}", p.where(), rope.high_freq_factor,
                    rope.low_freq_factor);
  rope.beta_fast = p.positive("beta_fast", 32);
  rope.beta_slow = p.positive("beta_slow", 1);
  if (rope.type == RopeType::yarn && rope.theta <= 1)
    throw DataError("{}: rope_theta is {}, and yarn needs one above 1", p.where(), rope.theta);
  rope.attention_factor = p.number("attention_factor", 0, 0, largest);
  rope.mscale = p.number("mscale", 0, 0, largest);
  rope.mscale_all_dim = p.number("mscale_all_dim", 0, 0, largest);
  rope.truncate = p.boolean("truncate", true);
}

RopeType read_rope_type(const ConfigReader& p) {
  const std::string type = p.text("rope_type", p.text("type", "default"));
  if (type == "default") return RopeType::standard;
  if (type == "linear") return RopeType::linear;
  if (type == "llama3") return RopeType::llama3;
  if (type == "yarn") return RopeType::yarn;
  throw DataError("{}: rope_type \"{}\" is not supported; expected default, linear, llama3 or yarn", p.where(), type);
}

/// Whatever was given: what positions are turned by has to be a number.
void require_finite(const ConfigReader& config, const RotarySpec& rotary) {
  const RotaryFrequencies frequencies = rotary_frequencies(rotary);
  const auto is_usable = [](float value) { return std::isfinite(value) && value >= 0; };
  if (!std::all_of(frequencies.inv_freq.begin(), frequencies.inv_freq.end(), is_usable) ||
      !is_usable(frequencies.scale))
    throw DataError("{}: its rotary settings (rope_theta and what scales it) give angles that are no numbers",
                    config.where());
}

/// Far beyond any model, and products of them still fit into 64 bits.
void require_sane_sizes(const ConfigReader& config, const DecoderSettings& s) {
  constexpr int64_t largest = 1 << 22, most_layers = 1 << 12;
  const auto require = [&](const char* key, int64_t size) {
    if (size > largest) throw DataError("{}: {} is too large, {} at most", config.where(), key, largest);
  };
  require("hidden_size", s.C);
  require("intermediate_size", s.F);
  require("vocab_size", s.V);
  require("num_attention_heads", s.H);
  require("head_dim", s.D);
  require("num_attention_heads times head_dim", s.H * s.D);
  if (s.max_position_embeddings > largest_position)
    throw DataError("{}: max_position_embeddings is {}, {} at most", config.where(), s.max_position_embeddings,
                    largest_position);
  if (s.L > most_layers) throw DataError("{}: num_hidden_layers is {}, {} at most", config.where(), s.L, most_layers);
}

void read_sizes(const ConfigReader& config, DecoderSettings& s, int64_t head_width) {
  s.C = config.integer("hidden_size");
  s.F = config.integer("intermediate_size");
  s.V = config.integer("vocab_size");
  s.L = config.integer("num_hidden_layers");
  s.H = config.integer("num_attention_heads");
  s.G = config.integer("num_key_value_heads", s.H);
  if (s.H % s.G != 0)
    throw DataError("{}: num_attention_heads {} is not a multiple of num_key_value_heads {}", config.where(), s.H, s.G);
  if (!config.has("head_dim") && head_width == 0 && s.C % s.H != 0)
    throw DataError("{}: hidden_size {} is not a multiple of num_attention_heads {}", config.where(), s.C, s.H);
  s.D = config.integer("head_dim", head_width > 0 ? head_width : s.C / s.H);
  if (s.D % 2 != 0) throw DataError("{}: head_dim {} is odd, rotary positions need pairs", config.where(), s.D);
  s.max_position_embeddings = config.integer("max_position_embeddings", 2048);
  require_sane_sizes(config, s);
}

NormSpec rmsnorm(const char* module, int64_t width, double eps) { return {NormKind::rms, module, width, eps}; }

LayerSpec make_layer(const DecoderSettings& s, int64_t number) {
  const int64_t q = s.H * s.D, k = s.G * s.D;
  LayerSpec layer;
  layer.prefix = fmt::format("model.layers.{}.", number);
  layer.attention_norm = rmsnorm("input_layernorm", s.C, s.norm_eps);
  layer.mlp_norm = rmsnorm("post_attention_layernorm", s.C, s.norm_eps);
  AttentionSpec& attention = layer.attention;
  attention.H = s.H, attention.G = s.G, attention.D = s.D;
  attention.window = s.window.empty() ? 0 : s.window[static_cast<size_t>(number)];
  attention.scale = 1.0f / std::sqrt(static_cast<float>(s.D));
  attention.qkv = {{{"self_attn.q_proj", q}, {"self_attn.k_proj", k}, {"self_attn.v_proj", k}}, s.C, s.qkv_bias};
  attention.o = {{{"self_attn.o_proj", s.C}}, q, s.o_bias};
  if (s.qk_norm) {
    attention.q_norm = rmsnorm("self_attn.q_norm", s.D, s.norm_eps);
    attention.k_norm = rmsnorm("self_attn.k_norm", s.D, s.norm_eps);
  }
  layer.mlp.F = s.F;
  layer.mlp.gate_up = {{{"mlp.gate_proj", s.F}, {"mlp.up_proj", s.F}}, s.C, s.mlp_bias};
  layer.mlp.down = {{{"mlp.down_proj", s.C}}, s.F, s.mlp_bias};
  return layer;
}

}  // namespace

ModelSpec make_decoder(const DecoderSettings& s) {
  ModelSpec model;
  model.V = s.V, model.C = s.C;
  model.tied = s.tied;
  for (int64_t i = 0; i < s.L; ++i) model.layers.push_back(make_layer(s, i));
  model.final_norm = rmsnorm("model.norm", s.C, s.norm_eps);
  model.rotary = {s.rotary};
  model.rotary.front().width = s.D;
  model.max_position_embeddings = s.max_position_embeddings;
  model.initializer_range = s.initializer_range;
  return model;
}

DecoderSettings read_decoder(const ConfigReader& config, int64_t head_width) {
  if (const std::string act = config.text("hidden_act", "silu"); act != "silu" && act != "swish")
    throw DataError("{}: hidden_act \"{}\" is not supported; expected silu", config.where(), act);
  DecoderSettings s;
  read_sizes(config, s, head_width);
  s.norm_eps = config.number("rms_norm_eps", 1e-6, 0, 1);
  s.tied = config.boolean("tie_word_embeddings", false);
  s.initializer_range = config.number("initializer_range", 0.02, 0, 1e3);
  s.rotary = read_rotary(config, s.D, s.max_position_embeddings);
  return s;
}

RotarySpec read_rotary(const ConfigReader& config, int64_t width, int64_t max_positions) {
  RotarySpec rotary;
  rotary.width = width;
  rotary.theta = config.positive("rope_theta", 10000);
  if (config.number("partial_rotary_factor", 1) != 1)
    throw DataError("{}: partial_rotary_factor is not supported", config.where());
  if (config.has("rope_parameters") && config.has("rope_scaling"))
    throw DataError("{}: rope_parameters and rope_scaling are two spellings of one thing; leave one out",
                    config.where());
  const char* const key = config.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (config.has(key)) {
    const ConfigReader p = config.object(key);
    rotary.theta = p.positive("rope_theta", rotary.theta);
    if (p.number("partial_rotary_factor", 1) != 1)
      throw DataError("{}: partial_rotary_factor is not supported", p.where());
    rotary.type = read_rope_type(p);
    if (rotary.type != RopeType::standard) read_scaling(p, rotary, static_cast<double>(max_positions));
    // Of a type that has no use for them, transformers does not look at them either.
    p.ignore({"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings", "beta_fast",
              "beta_slow", "attention_factor", "mscale", "mscale_all_dim", "truncate", "type"});
    p.refuse_unread("");
  }
  require_finite(config, rotary);
  return rotary;
}

int64_t read_window(const ConfigReader& config, int64_t otherwise) {
  const int64_t window = config.is_null("sliding_window") ? 0 : config.integer("sliding_window", otherwise);
  if (window > largest_position)
    throw DataError("{}: sliding_window is {}, {} at most", config.where(), window, largest_position);
  return window;
}

std::vector<int64_t> read_windows(const ConfigReader& config, int64_t layers, int64_t window, int64_t first) {
  std::vector<int64_t> windows(static_cast<size_t>(layers), 0);
  if (!config.has("layer_types")) {
    for (int64_t i = first; i < layers; ++i) windows[static_cast<size_t>(i)] = window;
    return windows;
  }
  const nlohmann::json& types = config.at("layer_types");
  if (!types.is_array() || types.size() != windows.size())
    throw DataError("{}: layer_types needs {} entries", config.where(), layers);
  for (size_t i = 0; i < windows.size(); ++i) {
    if (types[i] == "full_attention") continue;
    if (types[i] != "sliding_attention")
      throw DataError("{}: layer type {} is not supported", config.where(), shown(types[i]));
    if (window == 0)
      throw DataError("{}: layer_types has sliding_attention, and the other keys give no sliding window",
                      config.where());
    windows[i] = window;
  }
  return windows;
}

}  // namespace tessera
