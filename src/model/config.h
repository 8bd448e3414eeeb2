#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "device/dtype.h"
#include "job/job.h"

namespace tessera {

enum class Family { llama, mistral, qwen2, qwen3 };
enum class RopeType { standard, linear, llama3, yarn };

struct RopeSettings {
  RopeType type = RopeType::standard;
  double theta = 10000;
  double factor = 1;
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double original_max_position_embeddings = 0;       // llama3, yarn
  double beta_fast = 32, beta_slow = 1;              // yarn
  double attention_factor = 0;                       // yarn; 0: 0.1 ln(factor) + 1
  double mscale = 0, mscale_all_dim = 0;             // yarn
  bool truncate = true;                              // yarn
};

/// What config.json says of the model, in the letters of kernels.h.
struct ModelConfig {
  Family family = Family::llama;
  int64_t C = 0, H = 0, G = 0, D = 0, F = 0, V = 0, L = 0;
  double rms_norm_eps = 1e-6;
  bool tied = false;      // head and embedding are one tensor
  bool qkv_bias = false;  // q, k, v projections have biases
  bool o_bias = false;    // output projection
  bool mlp_bias = false;
  bool qk_norm = false;         // RMSNorm over each query and key head (Qwen3)
  std::vector<int64_t> window;  // of each layer; 0: full attention
  int64_t max_position_embeddings = 0;
  double initializer_range = 0.02;
  RopeSettings rope;
  std::string json;  // the text itself, for checkpoints and export
};

/// Reads an HF config.json in both spellings (rope_theta/rope_scaling, rope_parameters).  Anything in it that would
/// change the result and is unknown to this code is a DataError that names it.
ModelConfig parse_model_config(const std::string& json, const std::string& where);
/// Throws JobError where there is no such directory.
ModelConfig load_model_config(const std::filesystem::path& directory);

/// The type of weights and activations in products.
inline DType compute_dtype(const ModelSettings& model) {
  return model.precision == Precision::bf16 ? DType::bf16 : DType::f32;
}

/// The layers' windows, each once, in ascending order.
std::vector<int64_t> distinct_windows(const ModelConfig& config);

/// inv_freq [D/2] and the factor on cos and sin, as transformers' modeling_rope_utils computes them.
struct RopeFrequencies {
  std::vector<float> inv_freq;
  float scale = 1;
};
RopeFrequencies rope_frequencies(const ModelConfig& config);

}  // namespace tessera
