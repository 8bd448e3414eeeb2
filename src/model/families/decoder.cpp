#include "model/families/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

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

RopeType read_rope_type(const ConfigReader& p, const RotaryFrame& frame) {
  const std::string type = p.text("rope_type", p.text("type", "default"));
  if (frame.longrope) {  // Phi-3's first files call it su, or yarn
    if (type == "longrope" || type == "su" || type == "yarn") return RopeType::longrope;
    if (type != "default")
      throw DataError("{}: rope_type \"{}\" is not supported; expected default or longrope", p.where(), type);
  }
  if (type == "default") return RopeType::standard;
  if (type == "linear") return RopeType::linear;
  if (type == "llama3") return RopeType::llama3;
  if (type == "yarn") return RopeType::yarn;
  throw DataError("{}: rope_type \"{}\" is not supported; expected default, linear, llama3 or yarn", p.where(), type);
}

/// Of longrope: a number for each pair of columns.
std::vector<double> read_factors(const ConfigReader& p, const char* key, int64_t count) {
  if (!p.has(key)) throw DataError("{}: {} is missing", p.where(), key);
  const nlohmann::json& list = p.at(key);
  if (!list.is_array() || static_cast<int64_t>(list.size()) != count)
    throw DataError("{}: {} needs {} numbers", p.where(), key, count);
  std::vector<double> factors;
  for (const auto& value : list) {
    if (!value.is_number() || !(value.get<double>() > 0))
      throw DataError("{}: {} has {}, expected numbers above 0", p.where(), key, shown(value));
    factors.push_back(value.get<double>());
  }
  return factors;
}

/// The original length stands beside rope_scaling in Phi-3's files.
void read_longrope(const ConfigReader& p, RotarySpec& rope, const RotaryFrame& frame) {
  constexpr double largest = 1e12;
  rope.original_max_position_embeddings =
      p.number("original_max_position_embeddings", rope.original_max_position_embeddings, 2, largest);
  rope.factor =
      p.number("factor", static_cast<double>(frame.max_positions) / rope.original_max_position_embeddings, 0, largest);
  rope.attention_factor = p.number("attention_factor", 0, 0, largest);
  rope.short_factor = read_factors(p, "short_factor", rope.width / 2);
  rope.long_factor = read_factors(p, "long_factor", rope.width / 2);
}

/// Columns of a head that turn.
int64_t read_rotary_width(const ConfigReader& p, const RotaryFrame& frame, double otherwise = 1) {
  const double factor = p.number("partial_rotary_factor", otherwise, 0, 1);
  if (factor == 1) return frame.head_width;
  const auto width = static_cast<int64_t>(static_cast<double>(frame.head_width) * factor);
  if (!frame.partial || width < 2 || width % 2 != 0)
    throw DataError("{}: partial_rotary_factor {} is not supported", p.where(), factor);
  return width;
}

/// pad_token_id, as torch's nn.Embedding takes it: a negative one counts from the end.  transformers makes no model
/// with one beyond the vocabulary.
int32_t read_padding_token(const ConfigReader& config, const DecoderDefaults& defaults, int64_t V) {
  if (config.is_null("pad_token_id")) return -1;
  const bool given = config.has("pad_token_id");
  const auto token = given ? whole_number(config.at("pad_token_id")) : std::optional<int64_t>(defaults.padding_token);
  if (!token)
    throw DataError("{}: pad_token_id is {}, expected a token's number", config.where(),
                    shown(config.at("pad_token_id")));
  if (!given && *token < 0) return -1;
  const int64_t row = *token < 0 ? V + *token : *token;
  if (row >= 0 && row < V) return static_cast<int32_t>(row);
  if (!given) return -1;
  throw DataError("{}: pad_token_id is {}, and vocab_size {}", config.where(), *token, V);
}

Activation read_activation(const ConfigReader& config, const DecoderDefaults& defaults) {
  const std::string act = config.text(defaults.activation_key, defaults.activation);
  const bool gelu = std::string_view(defaults.activation) == "gelu_pytorch_tanh";
  if (!gelu && (act == "silu" || act == "swish")) return Activation::silu;
  // Gemma's files say gelu and mean the tanh approximation, as transformers has it.
  if (gelu && (act == "gelu_pytorch_tanh" || act == "gelu")) return Activation::gelu_tanh;
  throw DataError("{}: {} \"{}\" is not supported; expected {}", config.where(), defaults.activation_key, act,
                  defaults.activation);
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

/// Of a family without a default the key has to be there.
int64_t read_size(const ConfigReader& config, const char* key, int64_t otherwise) {
  return otherwise > 0 ? config.integer(key, otherwise) : config.integer(key);
}

void read_sizes(const ConfigReader& config, DecoderSettings& s, const DecoderDefaults& defaults) {
  s.C = read_size(config, "hidden_size", defaults.C);
  s.F = read_size(config, "intermediate_size", defaults.F);
  s.V = read_size(config, "vocab_size", defaults.V);
  s.L = read_size(config, "num_hidden_layers", defaults.L);
  s.H = read_size(config, "num_attention_heads", defaults.H);
  s.G = config.integer("num_key_value_heads", defaults.G > 0 ? defaults.G : s.H);
  if (s.H % s.G != 0)
    throw DataError("{}: num_attention_heads {} is not a multiple of num_key_value_heads {}", config.where(), s.H, s.G);
  if (!config.has("head_dim") && defaults.head_width == 0 && s.C % s.H != 0)
    throw DataError("{}: hidden_size {} is not a multiple of num_attention_heads {}", config.where(), s.C, s.H);
  s.D = config.integer("head_dim", defaults.head_width > 0 ? defaults.head_width : s.C / s.H);
  if (s.D % 2 != 0) throw DataError("{}: head_dim {} is odd, rotary positions need pairs", config.where(), s.D);
  s.max_position_embeddings = config.integer("max_position_embeddings", defaults.max_positions);
  require_sane_sizes(config, s);
}

LayerSpec make_layer(const DecoderSettings& s, int64_t number) {
  const int64_t q = s.H * s.D, k = s.G * s.D;
  LayerSpec layer;
  layer.prefix = fmt::format("model.layers.{}.", number);
  layer.before_attention = {s.norm, "input_layernorm", s.C, s.norm_eps};
  layer.before_mlp = {s.norm, "post_attention_layernorm", s.C, s.norm_eps};
  AttentionSpec& attention = layer.attention;
  attention.H = s.H, attention.G = s.G, attention.D = s.D;
  attention.window = s.window.empty() ? 0 : s.window[static_cast<size_t>(number)];
  attention.scale = 1.0f / std::sqrt(static_cast<float>(s.D));
  attention.qkv = {{{"self_attn.q_proj", q}, {"self_attn.k_proj", k}, {"self_attn.v_proj", k}}, s.C, s.qkv_bias};
  attention.o = {{{"self_attn.o_proj", s.C}}, q, s.o_bias};
  if (s.qk_norm) {
    attention.q_norm = {s.norm, "self_attn.q_norm", s.D, s.norm_eps};
    attention.k_norm = {s.norm, "self_attn.k_norm", s.D, s.norm_eps};
  }
  layer.mlp.F = s.F;
  layer.mlp.activation = s.activation;
  layer.mlp.gate_up = {{{"mlp.gate_proj", s.F}, {"mlp.up_proj", s.F}}, s.C, s.mlp_bias};
  layer.mlp.down = {{{"mlp.down_proj", s.C}}, s.F, s.mlp_bias};
  return layer;
}

}  // namespace

ModelSpec make_decoder(const DecoderSettings& s) {
  ModelSpec model;
  model.V = s.V, model.C = s.C;
  model.tied = s.tied;
  model.padding_token = s.padding_token;
  for (int64_t i = 0; i < s.L; ++i) model.layers.push_back(make_layer(s, i));
  model.final_norm = {s.norm, "model.norm", s.C, s.norm_eps};
  model.rotary = {s.rotary};
  if (model.rotary.front().width == 0) model.rotary.front().width = s.D;
  model.max_position_embeddings = s.max_position_embeddings;
  model.initializer_range = s.initializer_range;
  return model;
}

DecoderSettings read_decoder(const ConfigReader& config, const DecoderDefaults& defaults) {
  DecoderSettings s;
  s.activation = read_activation(config, defaults);
  read_sizes(config, s, defaults);
  s.norm_eps = config.number("rms_norm_eps", defaults.norm_eps, 0, 1);
  s.tied = config.boolean("tie_word_embeddings", defaults.tied);
  s.padding_token = read_padding_token(config, defaults, s.V);
  s.initializer_range = config.number("initializer_range", 0.02, 0, 1e3);
  return s;
}

RotarySpec read_rotary_object(const ConfigReader& p, const RotaryFrame& frame) {
  RotarySpec rotary;
  rotary.theta = p.positive("rope_theta", frame.theta);
  rotary.width = read_rotary_width(p, frame);
  rotary.type = read_rope_type(p, frame);
  rotary.original_max_position_embeddings =
      static_cast<double>(frame.original_positions > 0 ? frame.original_positions : frame.max_positions);
  if (rotary.type == RopeType::longrope)
    read_longrope(p, rotary, frame);
  else if (rotary.type != RopeType::standard)
    read_scaling(p, rotary, static_cast<double>(frame.max_positions));
  // Of a type that has no use for them, transformers does not look at them either.
  p.ignore({"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings", "beta_fast",
            "beta_slow", "attention_factor", "mscale", "mscale_all_dim", "truncate", "type", "short_factor",
            "long_factor"});
  p.refuse_unread("");
  require_finite(p, rotary);
  return rotary;
}

RotarySpec read_rotary(const ConfigReader& config, const RotaryFrame& frame) {
  if (config.has("rope_parameters") && config.has("rope_scaling"))
    throw DataError("{}: rope_parameters and rope_scaling are two spellings of one thing; leave one out",
                    config.where());
  RotaryFrame inside = frame;
  inside.theta = config.positive("rope_theta", frame.theta);
  const double partial = config.number("partial_rotary_factor", 1);
  const char* const key = config.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  RotarySpec rotary;
  if (config.has(key)) {
    rotary = read_rotary_object(config.object(key), inside);
    if (partial != 1) rotary.width = read_rotary_width(config, frame);
  } else {
    rotary.theta = inside.theta;
    rotary.width = read_rotary_width(config, frame);
  }
  require_finite(config, rotary);
  return rotary;
}

LayerRotary read_layer_rotary(const ConfigReader& config, const RotaryFrame& frame, double windowed_theta) {
  RotaryFrame full = frame, windowed = frame;
  full.theta = config.positive("rope_theta", frame.theta);
  windowed.theta = windowed_theta;
  LayerRotary rotary;
  rotary.full.theta = full.theta, rotary.windowed.theta = windowed.theta;
  rotary.full.width = rotary.windowed.width = frame.head_width;
  if (config.has("rope_scaling")) rotary.full = read_rotary_object(config.object("rope_scaling"), full);
  if (config.has("rope_parameters")) {
    const ConfigReader kinds = config.object("rope_parameters");
    if (kinds.has("full_attention")) rotary.full = read_rotary_object(kinds.object("full_attention"), full);
    if (kinds.has("sliding_attention"))
      rotary.windowed = read_rotary_object(kinds.object("sliding_attention"), windowed);
    kinds.refuse_unread("");
  }
  require_finite(config, rotary.full);
  require_finite(config, rotary.windowed);
  return rotary;
}

void set_layer_rotary(ModelSpec& model, const LayerRotary& rotary) {
  model.rotary = {rotary.full, rotary.windowed};
  for (LayerSpec& layer : model.layers) layer.attention.rotary = layer.attention.window > 0 ? 1 : 0;
}

int64_t read_window(const ConfigReader& config, int64_t otherwise) {
  const int64_t window = config.is_null("sliding_window") ? 0 : config.integer("sliding_window", otherwise);
  if (window > largest_position)
    throw DataError("{}: sliding_window is {}, {} at most", config.where(), window, largest_position);
  return window;
}

float inverse_root(double x) { return static_cast<float>(1 / std::sqrt(x)); }

std::vector<int64_t> read_windows(const ConfigReader& config, int64_t layers, int64_t window, HasWindow otherwise,
                                  int64_t period) {
  std::vector<int64_t> windows(static_cast<size_t>(layers), 0);
  if (!config.has("layer_types")) {
    for (int64_t i = 0; i < layers; ++i)
      if (otherwise == nullptr || otherwise(i, period)) windows[static_cast<size_t>(i)] = window;
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
