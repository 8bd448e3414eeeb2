#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "device/dtype.h"
#include "job/job.h"

/// What a model is, said once: a family (families/) makes this of a config.json, and everything else follows from it:
/// tensors and units (units.h), the layers' parts (parts/), activations, memory, floating-point operations,
/// checkpoints. Sizes are in the letters of kernels.h.
namespace tessera {

enum class NormKind {
  none,
  rms,  ///< x / rms(x) · w
};

struct NormSpec {
  NormKind kind = NormKind::none;
  std::string module;  ///< its tensor is MODULE.weight
  int64_t width = 0;   ///< a row is normalised in pieces of so many columns: all, or a head
  double eps = 1e-6;

  explicit operator bool() const { return kind != NormKind::none; }
};

/// One matrix product: modules whose rows lie side by side, and read the same input.
struct LinearSpec {
  struct Output {
    std::string module;  ///< its tensors are MODULE.weight [rows, columns] and MODULE.bias
    int64_t rows = 0;
  };
  std::vector<Output> outputs;
  int64_t columns = 0;
  bool bias = false;

  int64_t rows() const {
    int64_t sum = 0;
    for (const Output& output : outputs) sum += output.rows;
    return sum;
  }
};

struct AttentionSpec {
  int64_t H = 0, G = 0, D = 0;
  int64_t window = 0;  ///< 0: none
  float scale = 0;     ///< on the scores
  int rotary = 0;      ///< of ModelSpec::rotary
  LinearSpec qkv, o;   ///< queries, keys and values in this order
  NormSpec q_norm, k_norm;
};

/// down(silu(gate(x)) · up(x))
struct MlpSpec {
  int64_t F = 0;
  LinearSpec gate_up, down;
};

/// x += attention(norm(x)), x += mlp(norm(x))
struct LayerSpec {
  std::string prefix;  ///< "model.layers.3.": stands before the names of its modules
  NormSpec attention_norm, mlp_norm;
  AttentionSpec attention;
  MlpSpec mlp;
};

enum class RopeType { standard, linear, llama3, yarn };

/// A table of rotary positions; layers name it by its place in ModelSpec::rotary.
struct RotarySpec {
  RopeType type = RopeType::standard;
  int64_t width = 0;  ///< columns of a head that turn
  double theta = 10000;
  double factor = 1;
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double original_max_position_embeddings = 0;       // llama3, yarn
  double beta_fast = 32, beta_slow = 1;              // yarn
  double attention_factor = 0;                       // yarn; 0: 0.1 ln(factor) + 1
  double mscale = 0, mscale_all_dim = 0;             // yarn
  bool truncate = true;                              // yarn
};

struct ModelSpec {
  std::string family;  ///< model_type
  int64_t V = 0, C = 0;
  std::string embedding = "model.embed_tokens", head = "lm_head";  ///< modules
  bool tied = false;                                               ///< head and embedding are one tensor
  std::vector<LayerSpec> layers;
  NormSpec final_norm;
  std::vector<RotarySpec> rotary;
  int64_t max_position_embeddings = 0;
  double initializer_range = 0.02;
  std::string config;  ///< config.json's text, for checkpoints and export

  int64_t L() const { return static_cast<int64_t>(layers.size()); }
};

/// inv_freq [width/2] and the factor on cos and sin, as transformers' modeling_rope_utils computes them.
struct RotaryFrequencies {
  std::vector<float> inv_freq;
  float scale = 1;
};
RotaryFrequencies rotary_frequencies(const RotarySpec& rotary);

/// The layers' windows, each once, in ascending order.
std::vector<int64_t> distinct_windows(const ModelSpec& model);

/// The type of weights and activations in products.
inline DType compute_dtype(const ModelSettings& model) {
  return model.precision == Precision::bf16 ? DType::bf16 : DType::f32;
}

}  // namespace tessera
