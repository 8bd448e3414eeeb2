#include <catch2/catch.hpp>
#include <cmath>

#include "base/error.h"
#include "model/families/family.h"
#include "model/units.h"

using namespace tessera;
using Catch::Contains;

namespace {

/// A small llama's config.json with more keys, or with keys of its own replaced, at the end: the last one counts.
std::string config_with(const std::string& more) {
  return R"({"model_type": "llama", "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 3,
             "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 512, "max_position_embeddings": 256,
             "hidden_act": "silu", "rms_norm_eps": 1e-5)" +
         (more.empty() ? "" : ", " + more) + "}";
}

ModelSpec parsed(const std::string& more) { return parse_model(config_with(more), "config.json"); }

RotaryFrequencies rotary(const ModelSpec& model) { return rotary_frequencies(model.rotary.front()); }

std::vector<int64_t> windows(const ModelSpec& model) {
  std::vector<int64_t> windows;
  for (const LayerSpec& layer : model.layers) windows.push_back(layer.attention.window);
  return windows;
}

std::string error_of(const std::string& more) {
  try {
    parsed(more);
  } catch (const DataError& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("A llama config gives the sizes it names and the defaults it leaves out", "[model]") {
  const ModelSpec c = parsed("");
  CHECK(c.family == "llama");
  const AttentionSpec& attention = c.layers.front().attention;
  CHECK((c.C == 64 && c.V == 512 && c.L() == 3 && c.layers.front().mlp.F == 172));
  CHECK((attention.H == 8 && attention.G == 4 && attention.D == 8));
  CHECK((c.final_norm.eps == 1e-5 && c.layers.front().before_mlp.eps == 1e-5));
  CHECK_FALSE(c.tied);
  CHECK_FALSE(attention.qkv.bias);
  CHECK(windows(c) == std::vector<int64_t>{0, 0, 0});
  CHECK(c.rotary.front().theta == 10000);
}

TEST_CASE("Both spellings of the rotary settings mean the same", "[model]") {
  const ModelSpec classic = parsed(R"("rope_theta": 5000.0, "rope_scaling": {"type": "linear", "factor": 4.0})");
  const ModelSpec hf5 = parsed(R"("rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5000.0})");
  CHECK(rotary(classic).inv_freq == rotary(hf5).inv_freq);
  CHECK(classic.rotary.front().type == RopeType::linear);
}

TEST_CASE("Linear scaling divides every frequency by the factor", "[model]") {
  const auto plain = rotary(parsed("")).inv_freq;
  const auto scaled = rotary(parsed(R"("rope_scaling": {"rope_type": "linear", "factor": 4.0})")).inv_freq;
  REQUIRE(plain.size() == 4);
  for (size_t i = 0; i < plain.size(); ++i) CHECK(scaled[i] == Approx(plain[i] / 4));
}

TEST_CASE("Yarn scales cos and sin by 0.1 ln(factor) + 1 unless the config gives a factor", "[model]") {
  const std::string yarn =
      R"("rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64)";
  CHECK(rotary(parsed(yarn + "}")).scale == Approx(1.1386294));
  CHECK(rotary(parsed(yarn + R"(, "attention_factor": 1.0})")).scale == Approx(1.0));
}

TEST_CASE("Llama 3 scaling keeps high frequencies and divides low ones", "[model]") {
  const auto plain = rotary(parsed("")).inv_freq;
  const auto scaled = rotary(parsed(R"("rope_scaling": {"rope_type": "llama3", "factor": 8.0,
      "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64})"))
                          .inv_freq;
  CHECK(scaled.front() == Approx(plain.front()));
  CHECK(scaled.back() == Approx(plain.back() / 8));
}

TEST_CASE("A config that asks for something else is refused with the name of the key", "[model]") {
  CHECK_THAT(error_of(R"("model_type": "gpt2")"), Contains("model_type \"gpt2\" is not supported"));
  CHECK_THAT(error_of(R"("hidden_act": "gelu")"), Contains("hidden_act \"gelu\""));
  CHECK_THAT(error_of(R"("attention_dropout": 0.1)"), Contains("attention_dropout = 0.1"));
  CHECK_THAT(error_of(R"("rope_scaling": {"rope_type": "longrope", "factor": 2.0})"), Contains("longrope"));
  CHECK_THAT(error_of(R"("rope_scaling": {"rope_type": "linear", "factor": 2.0, "extra": 3})"), Contains("extra"));
  CHECK_THAT(error_of(R"("logit_scale": 2.0)"), Contains("logit_scale"));
  CHECK_THAT(error_of(R"("quantization_config": {"bits": 4})"), Contains("quantization_config"));
  CHECK_THAT(error_of(R"("quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true})"),
             Contains("not fp4"));
  CHECK_THAT(error_of(R"("num_key_value_heads": 3)"), Contains("not a multiple"));
  CHECK_THAT(error_of(R"("architectures": ["LlamaForSequenceClassification"])"), Contains("ForCausalLM"));
  CHECK_THAT(error_of(R"("partial_rotary_factor": 0.5)"), Contains("partial_rotary_factor"));
  CHECK_THAT(error_of(R"("sliding_window": 16)"), Contains("sliding_window"));
  CHECK_THAT(error_of(R"("num_hidden_layers": 100000000)"), Contains("num_hidden_layers is 100000000, 4096 at most"));
  CHECK_THAT(error_of(R"("vocab_size": 4611686018427387904)"), Contains("vocab_size is too large"));
  CHECK_THAT(error_of(R"("head_dim": 4611686018427387904)"), Contains("head_dim is too large"));
  CHECK_THAT(error_of(R"("rope_theta": 0)"), Contains("rope_theta is 0, expected a number above 0"));
  CHECK_THAT(error_of(R"("rope_parameters": {"rope_theta": -5.0})"), Contains("rope_theta is -5.0"));
  CHECK_THAT(error_of(R"("rope_scaling": {"type": "linear", "factor": 4.0}, "rope_parameters": {"rope_theta": 5.0})"),
             Contains("two spellings"));
  const std::string windowed = R"("model_type": "qwen2", "use_sliding_window": true, "sliding_window": 4, )";
  CHECK_THAT(error_of(windowed + R"("max_window_layers": "x")"), Contains("max_window_layers is \"x\""));
  CHECK_THAT(error_of(windowed + R"("max_window_layers": -1)"), Contains("max_window_layers is -1"));
}

TEST_CASE("Numbers that a formula cannot use are refused with the name of the key", "[model]") {
  const std::string yarn =
      R"("rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": )";
  CHECK_THAT(error_of(yarn + "0}"), Contains("original_max_position_embeddings is 0"));
  CHECK_THAT(error_of(yarn + "-64}"), Contains("original_max_position_embeddings is -64"));
  CHECK_THAT(error_of(yarn + R"(64, "beta_slow": 0})"), Contains("beta_slow is 0"));
  CHECK_THAT(error_of(yarn + R"(64, "mscale": -3.0})"), Contains("mscale is -3.0"));
  CHECK_THAT(error_of(yarn + R"(64}, "rope_theta": 1.0)"), Contains("rope_theta is 1"));
  CHECK_THAT(error_of(R"("rope_theta": 1e-300)"), Contains("angles that are no numbers"));
  CHECK_THAT(error_of(R"("rope_scaling": {"rope_type": "linear", "factor": -4.0})"), Contains("factor is -4.0"));
  CHECK_THAT(error_of(R"("rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 64})"),
             Contains("high_freq_factor 4 is not above low_freq_factor 4"));
  CHECK_THAT(error_of(R"("rope_theta": 1e999)"), Contains("config.json") && Contains("1e999"));
  CHECK_THAT(error_of(R"("rms_norm_eps": -1.0)"), Contains("rms_norm_eps is -1.0"));
  CHECK_THAT(error_of(R"("rms_norm_eps": 1e300)"), Contains("rms_norm_eps is 1e+300"));
  CHECK_THAT(error_of(R"("initializer_range": -0.1)"), Contains("initializer_range is -0.1"));
  CHECK_THAT(error_of(R"("hidden_size": 64.5)"), Contains("hidden_size is 64.5"));
  CHECK_THAT(error_of(R"("hidden_size": 18446744073709551615)"), Contains("hidden_size is 18446744073709551615"));
  CHECK_THAT(error_of(R"("max_position_embeddings": 9223372036854775807)"), Contains("max_position_embeddings is"));
}

TEST_CASE("A config that is nested without end is refused, and shown in short where it is long", "[model]") {
  const std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
  CHECK_THAT(error_of("\"logit_scale\": " + deep), Contains("config.json") && Contains("nested"));
  const std::string error = error_of("\"logit_scale\": \"" + std::string(1 << 20, 'x') + "\"");
  CHECK_THAT(error, Contains("logit_scale"));
  CHECK(error.size() < 400);
}

TEST_CASE("Keys that change nothing, and unknown keys without a value, are accepted", "[model]") {
  CHECK_NOTHROW(parsed(R"("bos_token_id": 1, "use_cache": true, "torch_dtype": "bfloat16", "something_new": null)"));
}

TEST_CASE("A Qwen2 config has biases on q, k and v, and a window only where it is switched on", "[model]") {
  const std::string qwen = R"("model_type": "qwen2", "sliding_window": 16, "max_window_layers": 1, )";
  const ModelSpec off = parsed(qwen + R"("use_sliding_window": false)");
  const LayerSpec& layer = off.layers.front();
  CHECK((layer.attention.qkv.bias && !layer.attention.o.bias && !layer.mlp.gate_up.bias && !layer.mlp.down.bias));
  CHECK(windows(off) == std::vector<int64_t>{0, 0, 0});
  CHECK(windows(parsed(qwen + R"("use_sliding_window": true)")) == std::vector<int64_t>{0, 16, 16});
}

TEST_CASE("A Qwen3 config has q and k norms and its own head width", "[model]") {
  const ModelSpec c = parsed(R"("model_type": "qwen3", "head_dim": 32)");
  const AttentionSpec& attention = c.layers.front().attention;
  CHECK((attention.q_norm && attention.k_norm && attention.D == 32));
}

TEST_CASE("A window that a config omits has transformers' default, and null means none", "[model]") {
  CHECK(windows(parsed(R"("model_type": "mistral")")) == std::vector<int64_t>{4096, 4096, 4096});
  CHECK(windows(parsed(R"("model_type": "mistral", "sliding_window": null)")) == std::vector<int64_t>{0, 0, 0});
  CHECK(windows(parsed(R"("model_type": "qwen3", "use_sliding_window": true, "max_window_layers": 0)")) ==
        std::vector<int64_t>{4096, 4096, 4096});
}

TEST_CASE("Layers cannot be of a window that is switched off", "[model]") {
  CHECK_THAT(error_of(R"("model_type": "qwen2", "sliding_window": 16, "layer_types": ["full_attention",
                          "sliding_attention", "full_attention"])"),
             Contains("no sliding window"));
}

TEST_CASE("A Mistral config has a window on every layer", "[model]") {
  CHECK(windows(parsed(R"("model_type": "mistral", "sliding_window": 16)")) == std::vector<int64_t>{16, 16, 16});
}

TEST_CASE("A tied model has no lm_head, and q, k, v as well as gate and up lie side by side", "[model]") {
  const auto units = model_units(parsed(R"("tie_word_embeddings": true)"));
  REQUIRE(units.size() == 5);
  CHECK(units.back().tensors.size() == 1);
  const auto& t = units[1].tensors;
  CHECK(t[1].offset == t[0].offset + t[0].size());
  CHECK(t[2].offset == t[1].offset + t[1].size());
  CHECK(t[5].offset == t[4].offset + t[4].size());
}

TEST_CASE("Only norms and biases are spared from weight decay", "[model]") {
  for (const auto& unit : model_units(parsed(R"("attention_bias": true, "mlp_bias": true)")))
    for (const auto& tensor : unit.tensors)
      CHECK(tensor.decay == (tensor.name.find("norm") == std::string::npos && !tensor.name.ends_with("bias")));
}

namespace {

/// The smallest config.json of a family, with more keys at its end.
std::string family_config(const std::string& family, const std::string& more) {
  return R"({"model_type": ")" + family +
         R"(", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": 512, "max_position_embeddings": 256)" +
         (more.empty() ? "" : ", " + more) + "}";
}
ModelSpec of_family(const std::string& family, const std::string& more = "") {
  return parse_model(family_config(family, more), "config.json");
}
std::string error_of_family(const std::string& family, const std::string& more) {
  try {
    of_family(family, more);
  } catch (const DataError& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("Each family refuses an activation and a rope type that it does not know, by name", "[model]") {
  for (const char* family : {"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "olmo2",
                             "olmo3", "smollm3", "granite"}) {
    INFO(family);
    const std::string name = family;
    const bool late = name == "gemma2" || name == "gemma3_text";
    const std::string key = late ? "hidden_activation" : "hidden_act";
    CHECK_THAT(error_of_family(name, "\"" + key + "\": \"relu7\""), Contains(key) && Contains("relu7"));
    CHECK_THAT(error_of_family(name, R"("rope_scaling": {"rope_type": "spiral", "factor": 2})"), Contains("spiral"));
    CHECK_THAT(error_of_family(name, R"("router_aux": 3)"), Contains("router_aux"));
    CHECK(of_family(name, R"("router_aux": null)").L() == 4);
  }
}

TEST_CASE("Gemma takes what transformers' classes take where a config says nothing", "[model]") {
  const ModelSpec gemma = of_family("gemma", R"("hidden_act": "gelu", "hidden_activation": null)");
  CHECK((gemma.tied && gemma.embedding_scale == 8 && gemma.padding_token == 0));
  CHECK(gemma.layers.front().attention.D == 256);
  CHECK(gemma.layers.front().mlp.activation == Activation::gelu_tanh);
  const ModelSpec gemma2 = of_family("gemma2");
  CHECK(windows(gemma2) == std::vector<int64_t>{4096, 0, 4096, 0});
  CHECK((gemma2.layers.front().attention.softcap == 50 && gemma2.logits.softcap == 30));
  CHECK(gemma2.layers.front().attention.scale == 0.0625f);
  const ModelSpec capless = of_family("gemma2", R"("attn_logit_softcapping": null, "final_logit_softcapping": null)");
  CHECK((capless.layers.front().attention.softcap == 0 && capless.logits.softcap == 0));
}

TEST_CASE("Layers of Gemma 3 with a window have rotary positions of their own", "[model]") {
  const ModelSpec old = of_family("gemma3_text", R"("sliding_window": 9, "sliding_window_pattern": 2,
      "rope_theta": 5e5, "rope_local_base_freq": 3e3, "rope_scaling": {"rope_type": "linear", "factor": 8})");
  CHECK(windows(old) == std::vector<int64_t>{9, 0, 9, 0});
  CHECK((old.rotary[0].theta == 5e5 && old.rotary[0].type == RopeType::linear));
  CHECK((old.rotary[1].theta == 3e3 && old.rotary[1].type == RopeType::standard));
  CHECK((old.layers[0].attention.rotary == 1 && old.layers[1].attention.rotary == 0));
  const ModelSpec now = of_family("gemma3_text", R"("sliding_window": 9,
      "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
      "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8, "rope_theta": 5e5},
                          "sliding_attention": {"rope_type": "default", "rope_theta": 3e3}})");
  for (const size_t table : {0, 1})
    CHECK(rotary_frequencies(now.rotary[table]).inv_freq == rotary_frequencies(old.rotary[table]).inv_freq);
  CHECK_THAT(error_of_family("gemma3_text", R"("rope_parameters": {"global_attention": {"rope_theta": 2}})"),
             Contains("global_attention"));
}

TEST_CASE("A larger model without a text part, and a default that a formula cannot use, are refused by name",
          "[model]") {
  CHECK_THAT(error_of_family("gemma3", ""), Contains("text_config is missing"));
  CHECK_THAT(error_of_family("gemma3", R"("text_config": null)"), Contains("text_config is not an object"));
  CHECK_THAT(error_of_family("phi3", R"("original_max_position_embeddings": 1, "rope_scaling": {"type": "longrope",
      "short_factor": [1, 1, 1, 1, 1, 1, 1, 1], "long_factor": [1, 1, 1, 1, 1, 1, 1, 1]})"),
             Contains("original_max_position_embeddings is 1"));
}

TEST_CASE("Phi-3 has longrope for short documents and for long ones", "[model]") {
  const std::string factors = R"("short_factor": [1, 1, 1, 1, 1, 1, 1, 1], "long_factor": [2, 2, 2, 2, 2, 2, 2, 2])";
  const std::string original = R"("original_max_position_embeddings": 64)";
  for (const char* type : {"longrope", "su", "yarn"}) {
    const ModelSpec phi =
        of_family("phi3", original + R"(, "rope_scaling": {"type": ")" + type + R"(", )" + factors + "}");
    const RotaryFrequencies of_short = rotary_frequencies(phi.rotary.front());
    const RotaryFrequencies of_long = rotary_frequencies(phi.rotary.front(), /*long_documents=*/true);
    CHECK(of_long.inv_freq[3] == Approx(of_short.inv_freq[3] / 2));
    CHECK(of_short.scale == Approx(std::sqrt(1 + std::log(4.0) / std::log(64.0))));
  }
  CHECK_THAT(
      error_of_family("phi3",
                      original + R"(, "rope_scaling": {"type": "longrope", "short_factor": [1], "long_factor": [1]})"),
      Contains("short_factor") && Contains("8 numbers"));
  CHECK_THAT(
      error_of_family("phi3",
                      original + R"(, "rope_scaling": {"type": "longrope", "short_factor": [1, 1, 1, 1, 1, 1, 1, 1]})"),
      Contains("long_factor"));
}

TEST_CASE("A part of each head turns in Phi-4-mini", "[model]") {
  const ModelSpec phi = of_family("phi3", R"("partial_rotary_factor": 0.75)");
  CHECK(phi.rotary.front().width == 12);
  CHECK_THAT(error_of_family("llama", R"("partial_rotary_factor": 0.75)"), Contains("partial_rotary_factor"));
  CHECK_THAT(error_of_family("phi3", R"("partial_rotary_factor": 1e308)"), Contains("expected a number from 0 to 1"));
}

TEST_CASE("Layers of SmolLM3 that no_rope_layers gives a 0 turn nothing", "[model]") {
  const ModelSpec by_interval = of_family("smollm3"),
                  by_list = of_family("smollm3", R"("no_rope_layers": [0, 1, 1, 1])");
  CHECK((by_interval.layers[0].attention.rotary == 0 && by_interval.layers[3].attention.rotary == -1));
  CHECK((by_list.layers[0].attention.rotary == -1 && by_list.layers[3].attention.rotary == 0));
  CHECK_THAT(error_of_family("smollm3", R"("no_rope_layers": [0, 1])"), Contains("no_rope_layers"));
}

TEST_CASE("Full layers of Olmo 3 alone have scaled rotary positions", "[model]") {
  const ModelSpec olmo =
      of_family("olmo3", R"("rope_theta": 1e5, "rope_scaling": {"rope_type": "linear", "factor": 4})");
  CHECK(windows(olmo) == std::vector<int64_t>{4096, 4096, 4096, 0});
  CHECK((olmo.rotary[0].type == RopeType::linear && olmo.rotary[0].theta == 1e5));
  CHECK((olmo.rotary[1].type == RopeType::standard && olmo.rotary[1].theta == 5e5));
  CHECK_FALSE(olmo.layers.front().before_attention);
  CHECK(olmo.layers.front().attention.q_norm.width == 64);
}

TEST_CASE("Granite's multipliers are where transformers has them", "[model]") {
  const ModelSpec granite = of_family("granite", R"("embedding_multiplier": 12, "logits_scaling": 8,
      "residual_multiplier": 0.22, "attention_multiplier": 0.015625)");
  CHECK((granite.embedding_scale == 12 && granite.logits.scale == 0.125f));
  CHECK((granite.layers[0].residual_scale == 0.22f && granite.layers[0].attention.scale == 0.015625f));
}

TEST_CASE("The padding token is that of torch's embedding", "[model]") {
  CHECK(parsed("").padding_token == -1);
  CHECK(parsed(R"("pad_token_id": null)").padding_token == -1);
  CHECK(parsed(R"("pad_token_id": 7)").padding_token == 7);
  CHECK(parsed(R"("pad_token_id": -1)").padding_token == 511);
  CHECK_THAT(error_of(R"("pad_token_id": 512)"), Contains("pad_token_id"));
  CHECK(of_family("phi3").padding_token == -1);  // its default lies beyond this vocabulary
}
