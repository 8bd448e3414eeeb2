#include <catch2/catch.hpp>

#include "model/families/decoder.h"
#include "shard/memory.h"
#include "support/small_training.h"

// A family in one file: what config.json says becomes a ModelSpec, and the rest of the program follows from that.  This
// one has what no published family has together.
using namespace tessera;
using namespace tessera::test;

namespace {

constexpr const char* config_json = R"({
  "vocab_size": 37, "hidden_size": 18, "intermediate_size": 23, "num_hidden_layers": 3, "num_attention_heads": 3,
  "num_key_value_heads": 1, "head_dim": 10, "hidden_act": "gelu_pytorch_tanh", "partial_rotary_factor": 0.6,
  "residual_multiplier": 0.7, "pad_token_id": 5, "tie_word_embeddings": true})";

ModelSpec read_made_up(const ConfigReader& config) {
  DecoderSettings s = read_decoder(config, {.activation = "gelu_pytorch_tanh"});
  s.norm = NormKind::rms_plus_one;
  s.qkv_bias = s.mlp_bias = true;
  s.window = {0, 4, 0};
  s.rotary = read_rotary(config, {.head_width = s.D, .max_positions = s.max_position_embeddings, .partial = true});
  ModelSpec model = make_decoder(s);
  model.embedding_scale = 1.5f;
  model.logits = {.scale = 0.8f, .softcap = 3};
  for (LayerSpec& layer : model.layers) {
    layer.attention.softcap = 2;
    layer.attention.q_norm = {NormKind::rms, "self_attn.q_norm", s.H * s.D, s.norm_eps};
    layer.attention.k_norm = {NormKind::rms, "self_attn.k_norm", s.G * s.D, s.norm_eps};
  }
  LayerSpec &behind = model.layers[0], &scaled = model.layers[1];
  behind.before_attention = behind.before_mlp = {};
  behind.after_attention = {s.norm, "after_attention", s.C, s.norm_eps};
  behind.after_mlp = {s.norm, "after_mlp", s.C, s.norm_eps};
  scaled.residual_scale = static_cast<float>(config.positive("residual_multiplier", 1));
  model.layers[2].attention.rotary = -1;
  config.refuse_unread("");
  return model;
}

ModelSpec made_up() { return read_made_up(ConfigReader(config_json, "config.json")); }

}  // namespace

TEST_CASE("A made-up family's gradients are the slopes of its loss", "[shard]") { require_slopes(made_up()); }

TEST_CASE("A made-up family computes the same bits with every recomputation", "[shard]") {
  Setting setting = fp32();
  setting.model.gradient_checkpointing = Checkpointing::none;
  const Result none = train(made_up(), setting, 2);
  for (const Checkpointing other : {Checkpointing::selective, Checkpointing::full}) {
    setting.model.gradient_checkpointing = other;
    CHECK(train(made_up(), setting, 2).gradient == none.gradient);
  }
}

TEST_CASE("A made-up family's memory is planned", "[shard]") {
  for (const Checkpointing checkpointing : {Checkpointing::none, Checkpointing::selective, Checkpointing::full}) {
    Setting setting;
    setting.model.gradient_checkpointing = checkpointing;
    const auto plan = plan_memory(DeviceKind::cpu, made_up(), with_moments(setting.shard, setting.model, 24), 2);
    for (const int64_t bytes : train(made_up(), setting, 2).allocated) CHECK(bytes == plan.total());
  }
}
