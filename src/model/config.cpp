#include "model/config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"

namespace tessera {
namespace {

using Json = nlohmann::json;

/// Keys that cannot change what a causal language model of these families computes in training: identity, generation
/// settings, other heads' settings, storage.
const std::set<std::string> harmless_keys = {
    // who made it and how it is stored
    "_name_or_path", "_attn_implementation", "_attn_implementation_autoset", "_commit_hash", "transformers_version",
    "transformers.js_config", "dtype", "torch_dtype", "use_cache", "auto_map", "model_name", "unsloth_version",
    "unsloth_fixed", "pretraining_tp", "initializer_range", "max_position_embeddings", "is_llama_config",
    "rope_interleaved", "max_length", "use_return_dict", "return_dict", "return_dict_in_generate", "torchscript",
    "use_bfloat16", "tf_legacy_loss", "tokenizer_class", "prefix", "task_specific_params", "finetuning_task",
    "id2label", "label2id", "num_labels", "problem_type", "architectures", "_from_model_config",
    // special tokens are the tokenizer's business
    "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id", "unk_token_id",
    "forced_bos_token_id", "forced_eos_token_id", "image_token_id",
    // generation
    "do_sample", "temperature", "top_k", "top_p", "typical_p", "num_beams", "num_beam_groups", "diversity_penalty",
    "min_length", "repetition_penalty", "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size",
    "early_stopping", "num_return_sequences", "output_scores", "bad_words_ids", "suppress_tokens",
    "begin_suppress_tokens", "exponential_decay_length_penalty", "remove_invalid_values", "chunk_size_feed_forward",
    "output_attentions", "output_hidden_states"};

/// Keys that are computed with, so their values are checked in what follows.
const std::set<std::string> known_keys = {"model_type",
                                          "vocab_size",
                                          "hidden_size",
                                          "intermediate_size",
                                          "num_hidden_layers",
                                          "num_attention_heads",
                                          "num_key_value_heads",
                                          "head_dim",
                                          "hidden_act",
                                          "rms_norm_eps",
                                          "tie_word_embeddings",
                                          "attention_bias",
                                          "mlp_bias",
                                          "attention_dropout",
                                          "sliding_window",
                                          "use_sliding_window",
                                          "max_window_layers",
                                          "layer_types",
                                          "rope_theta",
                                          "rope_scaling",
                                          "rope_parameters",
                                          "partial_rotary_factor",
                                          "is_decoder",
                                          "is_encoder_decoder",
                                          "add_cross_attention",
                                          "cross_attention_hidden_size",
                                          "tie_encoder_decoder",
                                          "pruned_heads"};

const std::set<std::string> rope_keys = {"rope_theta",
                                         "rope_type",
                                         "type",
                                         "factor",
                                         "low_freq_factor",
                                         "high_freq_factor",
                                         "original_max_position_embeddings",
                                         "beta_fast",
                                         "beta_slow",
                                         "attention_factor",
                                         "mscale",
                                         "mscale_all_dim",
                                         "truncate",
                                         "partial_rotary_factor"};

bool neutral(const Json& value) {
  return value.is_null() || (value.is_boolean() && !value.get<bool>()) ||
         (value.is_number() && value.get<double>() == 0) || ((value.is_object() || value.is_array()) && value.empty());
}

/// Reads typed values out of one JSON object and names file and key where something is off.
class Reader {
 public:
  Reader(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  bool has(const char* key) const { return object_.contains(key) && !object_[key].is_null(); }
  bool is_null(const char* key) const { return object_.contains(key) && object_[key].is_null(); }

  int64_t integer(const char* key) const {
    if (!has(key)) throw DataError("{}: {} is missing", where_, key);
    const auto value = whole_number(object_[key]);
    if (!value || *value < 1)
      throw DataError("{}: {} is {}, expected a positive integer", where_, key, shown(object_[key]));
    return *value;
  }
  int64_t integer(const char* key, int64_t otherwise) const { return has(key) ? integer(key) : otherwise; }
  int64_t whole(const char* key, int64_t otherwise) const {
    if (!has(key)) return otherwise;
    const auto value = whole_number(object_[key]);
    if (!value || *value < 0)
      throw DataError("{}: {} is {}, expected a whole number, at least 0", where_, key, shown(object_[key]));
    return *value;
  }

  double number(const char* key, double otherwise) const {
    if (!has(key)) return otherwise;
    if (!object_[key].is_number()) throw DataError("{}: {} is {}, expected a number", where_, key, shown(object_[key]));
    return object_[key].get<double>();
  }
  double number(const char* key, double otherwise, double low, double high) const {
    const double value = number(key, otherwise);
    if (!(value >= low && value <= high))
      throw DataError("{}: {} is {}, expected a number from {} to {}", where_, key, shown(object_[key]), low, high);
    return value;
  }
  double positive(const char* key, double otherwise) const {
    const double value = number(key, otherwise);
    if (!(value > 0)) throw DataError("{}: {} is {}, expected a number above 0", where_, key, shown(object_[key]));
    return value;
  }
  bool boolean(const char* key, bool otherwise) const {
    if (!has(key)) return otherwise;
    if (!object_[key].is_boolean())
      throw DataError("{}: {} is {}, expected true or false", where_, key, shown(object_[key]));
    return object_[key].get<bool>();
  }
  std::string text(const char* key, const std::string& otherwise) const {
    if (!has(key)) return otherwise;
    if (!object_[key].is_string()) throw DataError("{}: {} is {}, expected a string", where_, key, shown(object_[key]));
    return object_[key].get<std::string>();
  }
  void require_neutral(const char* key, const char* why) const {
    if (has(key) && !neutral(object_[key]))
      throw DataError("{}: {} = {} is not supported: {}", where_, key, shown(object_[key]), why);
  }
  const Json& at(const char* key) const { return object_[key]; }
  const std::string& where() const { return where_; }

 private:
  const Json& object_;
  std::string where_;
};

Family read_family(const Reader& r) {
  const std::string type = r.text("model_type", "");
  if (type == "llama") return Family::llama;
  if (type == "mistral") return Family::mistral;
  if (type == "qwen2") return Family::qwen2;
  if (type == "qwen3") return Family::qwen3;
  throw DataError("{}: model_type \"{}\" is not supported; expected llama, mistral, qwen2 or qwen3", r.where(), type);
}

void refuse_unknown_keys(const Json& json, const std::string& where) {
  for (const auto& [key, value] : json.items()) {
    if (known_keys.contains(key) || harmless_keys.contains(key) || neutral(value)) continue;
    throw DataError("{}: {} = {} is not known and might change what the model computes; remove the key if it does not",
                    where, key, shown(value));
  }
  if (!json.contains("architectures")) return;
  for (const auto& name : json["architectures"])
    if (!name.is_string() || !name.get<std::string>().ends_with("ForCausalLM"))
      throw DataError("{}: architectures has {}, expected a ...ForCausalLM", where, shown(name));
}

/// What rope_type linear, llama3 and yarn are made of; each number within what its formula can use.
void read_scaling(const Reader& p, RopeSettings& rope, double max_positions) {
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
  if (rope.type == RopeType::yarn && rope.theta <= 1)
    throw DataError("{}: rope_theta is {}, and yarn needs one above 1", p.where(), rope.theta);
  rope.beta_fast = p.positive("beta_fast", 32);
  rope.beta_slow = p.positive("beta_slow", 1);
  rope.attention_factor = p.number("attention_factor", 0, 0, largest);
  rope.mscale = p.number("mscale", 0, 0, largest);
  rope.mscale_all_dim = p.number("mscale_all_dim", 0, 0, largest);
}

/// Both spellings: rope_parameters of transformers 5, or rope_theta with rope_scaling before it.
RopeSettings read_rope(const Reader& r, int64_t max_positions) {
  RopeSettings rope;
  rope.theta = r.positive("rope_theta", 10000);
  if (r.has("rope_parameters") && r.has("rope_scaling"))
    throw DataError("{}: rope_parameters and rope_scaling are two spellings of one thing; leave one out", r.where());
  const char* key = r.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (!r.has(key)) return rope;
  if (!r.at(key).is_object()) throw DataError("{}: {} is not an object", r.where(), key);
  const Reader p(r.at(key), r.where() + ": " + key);
  for (const auto& [name, value] : r.at(key).items())
    if (!rope_keys.contains(name) && !neutral(value)) throw DataError("{}: {} is not supported", p.where(), name);

  rope.theta = p.positive("rope_theta", rope.theta);
  if (p.number("partial_rotary_factor", 1) != 1)
    throw DataError("{}: partial_rotary_factor is not supported", p.where());
  const std::string type = p.text("rope_type", p.text("type", "default"));
  if (type == "default") return rope;
  if (type == "linear")
    rope.type = RopeType::linear;
  else if (type == "llama3")
    rope.type = RopeType::llama3;
  else if (type == "yarn")
    rope.type = RopeType::yarn;
  else
    throw DataError("{}: rope_type \"{}\" is not supported; expected default, linear, llama3 or yarn", p.where(), type);

  read_scaling(p, rope, static_cast<double>(max_positions));
  rope.truncate = p.boolean("truncate", true);
  return rope;
}

/// Whatever was given: what positions are turned by has to be a number.
void require_finite_rotation(const Reader& r, const ModelConfig& c) {
  const RopeFrequencies frequencies = rope_frequencies(c);
  const auto is_usable = [](float value) { return std::isfinite(value) && value >= 0; };
  if (!std::all_of(frequencies.inv_freq.begin(), frequencies.inv_freq.end(), is_usable) ||
      !is_usable(frequencies.scale))
    throw DataError("{}: its rotary settings (rope_theta and what scales it) give angles that are no numbers",
                    r.where());
}

/// The window of all layers that have one; 0: none has.
int64_t read_window(const Reader& r, Family family) {
  const bool qwen = family == Family::qwen2 || family == Family::qwen3;
  if (family == Family::llama) r.require_neutral("sliding_window", "a llama model has full attention");
  if (family == Family::llama || (qwen && !r.boolean("use_sliding_window", false))) return 0;
  const int64_t window = r.is_null("sliding_window") ? 0 : r.integer("sliding_window", 4096);
  if (window > std::numeric_limits<int32_t>::max())
    throw DataError("{}: sliding_window is {}, {} at most", r.where(), window, std::numeric_limits<int32_t>::max());
  return window;
}

/// The window of each layer, as transformers derives layer_types.
std::vector<int64_t> read_windows(const Reader& r, const ModelConfig& c) {
  std::vector<int64_t> windows(static_cast<size_t>(c.L), 0);
  const int64_t window = read_window(r, c.family);
  if (r.has("layer_types")) {
    const Json& types = r.at("layer_types");
    if (!types.is_array() || types.size() != windows.size())
      throw DataError("{}: layer_types needs {} entries", r.where(), c.L);
    for (size_t i = 0; i < windows.size(); ++i) {
      if (types[i] == "full_attention") continue;
      if (types[i] != "sliding_attention")
        throw DataError("{}: layer type {} is not supported", r.where(), shown(types[i]));
      if (window == 0)
        throw DataError("{}: layer_types has sliding_attention, and the other keys give no sliding window", r.where());
      windows[i] = window;
    }
    return windows;
  }
  const bool qwen = c.family == Family::qwen2 || c.family == Family::qwen3;
  const int64_t first = qwen ? r.whole("max_window_layers", 28) : 0;
  for (int64_t i = first; i < c.L; ++i) windows[static_cast<size_t>(i)] = window;
  return windows;
}

void read_biases(const Reader& r, ModelConfig& c) {
  const bool attention_bias = r.boolean("attention_bias", false);
  c.qkv_bias = c.family == Family::qwen2 || attention_bias;
  c.o_bias = c.family != Family::qwen2 && attention_bias;
  c.qk_norm = c.family == Family::qwen3;
  if (c.family == Family::mistral) r.require_neutral("attention_bias", "a mistral model has no biases");
  if (c.family == Family::llama)
    c.mlp_bias = r.boolean("mlp_bias", false);
  else
    r.require_neutral("mlp_bias", "only llama models have biases there");
}

/// Far beyond any model, and products of them still fit into 64 bits.
void require_sane_sizes(const Reader& r, const ModelConfig& c) {
  constexpr int64_t largest = 1 << 22, most_layers = 1 << 12;
  const auto require = [&](const char* key, int64_t size) {
    if (size > largest) throw DataError("{}: {} is too large, {} at most", r.where(), key, largest);
  };
  require("hidden_size", c.C);
  require("intermediate_size", c.F);
  require("vocab_size", c.V);
  require("num_attention_heads", c.H);
  require("head_dim", c.D);
  require("num_attention_heads times head_dim", c.H * c.D);
  if (c.max_position_embeddings > std::numeric_limits<int32_t>::max())
    throw DataError("{}: max_position_embeddings is {}, {} at most", r.where(), c.max_position_embeddings,
                    std::numeric_limits<int32_t>::max());
  if (c.L > most_layers) throw DataError("{}: num_hidden_layers is {}, {} at most", r.where(), c.L, most_layers);
}

void read_sizes(const Reader& r, ModelConfig& c) {
  c.C = r.integer("hidden_size");
  c.F = r.integer("intermediate_size");
  c.V = r.integer("vocab_size");
  c.L = r.integer("num_hidden_layers");
  c.H = r.integer("num_attention_heads");
  c.G = c.family == Family::llama ? r.integer("num_key_value_heads", c.H) : r.integer("num_key_value_heads");
  if (c.H % c.G != 0)
    throw DataError("{}: num_attention_heads {} is not a multiple of num_key_value_heads {}", r.where(), c.H, c.G);
  if (!r.has("head_dim") && c.family != Family::qwen3 && c.C % c.H != 0)
    throw DataError("{}: hidden_size {} is not a multiple of num_attention_heads {}", r.where(), c.C, c.H);
  c.D = r.integer("head_dim", c.family == Family::qwen3 ? 128 : c.C / c.H);
  if (c.D % 2 != 0) throw DataError("{}: head_dim {} is odd, rotary positions need pairs", r.where(), c.D);
  c.max_position_embeddings = r.integer("max_position_embeddings", 2048);
  require_sane_sizes(r, c);
}

}  // namespace

ModelConfig parse_model_config(const std::string& text, const std::string& where) {
  const Json json = parse_json(text, where);
  if (!json.is_object()) throw DataError("{}: not a JSON object", where);
  const Reader r(json, where);
  ModelConfig c;
  c.family = read_family(r);
  refuse_unknown_keys(json, where);
  if (const std::string act = r.text("hidden_act", "silu"); act != "silu" && act != "swish")
    throw DataError("{}: hidden_act \"{}\" is not supported; expected silu", where, act);
  r.require_neutral("attention_dropout", "training has no dropout");
  r.require_neutral("is_encoder_decoder", "only decoders are");
  r.require_neutral("add_cross_attention", "only decoders are");
  r.require_neutral("pruned_heads", "heads are whole");
  if (r.number("partial_rotary_factor", 1) != 1) throw DataError("{}: partial_rotary_factor is not supported", where);

  read_sizes(r, c);
  c.rms_norm_eps = r.number("rms_norm_eps", 1e-6, 0, 1);
  c.tied = r.boolean("tie_word_embeddings", false);
  c.initializer_range = r.number("initializer_range", 0.02, 0, 1e3);
  read_biases(r, c);
  c.window = read_windows(r, c);
  c.rope = read_rope(r, c.max_position_embeddings);
  require_finite_rotation(r, c);
  c.json = text;
  return c;
}

ModelConfig load_model_config(const std::filesystem::path& directory) {
  if (!is_folder(directory))
    throw JobError("[model] base: there is no directory {}; expected one with config.json and *.safetensors",
                   directory.string());
  const auto path = directory / "config.json";
  return parse_model_config(read_text(path, max_json_bytes), path.string());
}

}  // namespace tessera
