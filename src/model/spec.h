#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "device/dtype.h"
#include "job/job.h"
#include "kernels/activation.h"
#include "kernels/loss.h"

/// What a model is, said once: a family (families/) makes this of a config.json, and everything else follows from it:
/// tensors and units (units.h), the layers' parts (parts/), activations, memory, floating-point operations,
/// checkpoints. Sizes are in the letters of kernels.h.
namespace tessera {

/// How the numbers of a tensor are kept between steps.
enum class Storage : uint8_t {
  trained,     ///< fp32 master weights, a gradient, what the optimizer keeps, and a copy in the compute type
  frozen,      ///< the compute type alone
  nf4,         ///< frozen, in 4 bits (kernels/quantization.h), with the absmax of its blocks in fp32
  nf4_double,  ///< and those in 8 bits
  int8,        ///< frozen, in 8 bits, with the absmax of its rows in fp32
};
inline bool is_quantized(Storage storage) { return storage != Storage::trained && storage != Storage::frozen; }

enum class NormKind {
  none,
  rms,           ///< x / rms(x) · w
  rms_plus_one,  ///< x / rms(x) · (1 + w)
};

struct NormSpec {
  NormKind kind = NormKind::none;
  std::string module;  ///< its tensor is MODULE.weight
  int64_t width = 0;   ///< a row is normalised in pieces of so many columns: all, or a head
  double eps = 1e-6;
  Storage storage = Storage::trained;

  explicit operator bool() const { return kind != NormKind::none; }
};

/// Two small matrices beside a module's weight: y += scale · x Aᵀ Bᵀ, A [r, columns], B [rows, r] (Hu et al. 2021).
struct LoraSpec {
  int64_t r = 0;          ///< 0: there are none
  float scale = 1;        ///< alpha / r, or alpha / √r (Kalajdzievski 2023)
  double b_rate = 1;      ///< B learns so many times as fast (LoRA+, Hayou et al. 2024)
  bool dora = false;      ///< MODULE.lora_magnitude_vector [rows] scales the rows of W + scale · B A to its length
  float dropout = 0;      ///< rate, on the adapter's x while it is trained
  bool gaussian = false;  ///< A begins as numbers of standard deviation 1/r, else uniform in ±1/√columns; B as zeros

  explicit operator bool() const { return r > 0; }
};

/// One matrix product: modules whose rows lie side by side, and read the same input.
struct LinearSpec {
  struct Output {
    std::string module;  ///< its tensors are MODULE.weight [rows, columns] and MODULE.bias
    int64_t rows = 0;
    Storage storage = Storage::trained;  ///< of weight and bias
    LoraSpec lora = {};                  ///< MODULE.lora_A.weight and MODULE.lora_B.weight, both trained
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
  int64_t window = 0;       ///< 0: none
  float scale = 0;          ///< on the scores
  float softcap = 0;        ///< scores become softcap · tanh(score / softcap); 0: they stay
  int rotary = 0;           ///< of ModelSpec::rotary; -1: positions turn nothing
  LinearSpec qkv, o;        ///< queries, keys and values in this order
  NormSpec q_norm, k_norm;  ///< of each head, or of all together
};

/// down(activation(gate(x)) · up(x))
struct MlpSpec {
  int64_t F = 0;
  Activation activation = Activation::silu;
  LinearSpec gate_up, down;
};

/// x += scale · after(f(before(x))), for f first attention, then the MLP; a norm that is none changes nothing.
struct LayerSpec {
  std::string prefix;  ///< "model.layers.3.": stands before the names of its modules
  NormSpec before_attention, after_attention, before_mlp, after_mlp;
  AttentionSpec attention;
  MlpSpec mlp;
  float residual_scale = 1;  ///< only where there is no norm behind
};

enum class RopeType { standard, linear, llama3, yarn, longrope };

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
  /// longrope: what divides the frequencies [width/2] of documents up to original_max_position_embeddings, and of
  /// longer ones.
  std::vector<double> short_factor, long_factor;
};

struct ModelSpec {
  std::string family;  ///< model_type
  int64_t V = 0, C = 0;
  std::string embedding = "model.embed_tokens", head = "lm_head";  ///< modules
  Storage embedding_storage = Storage::trained, head_storage = Storage::trained;
  bool tied = false;                    ///< head and embedding are one tensor
  float embedding_scale = 1;            ///< on the rows that are looked up
  bool rounds_embedding_scale = false;  ///< to the compute type, before it multiplies
  int32_t padding_token = -1;  ///< whose row of the embedding learns nothing from being looked up; -1: there is none
  LogitTransform logits;
  std::vector<LayerSpec> layers;
  NormSpec final_norm;
  std::vector<RotarySpec> rotary;
  int64_t max_position_embeddings = 0;
  double initializer_range = 0.02;
  std::string config;  ///< config.json's text, for checkpoints and export

  /// Where the directory holds a larger model, of which this is a part.
  struct Rename {
    std::string from, to;  ///< what the names of tensors begin with here, and there
  };
  std::vector<Rename> names_in_files;    ///< of those that give a name that is there, the first counts
  std::vector<std::string> other_parts;  ///< what the names of tensors that are left alone begin with
  bool quantized_files = false;          ///< it holds matrices in NF4, as bitsandbytes writes them

  int64_t L() const { return static_cast<int64_t>(layers.size()); }
};

/// inv_freq [width/2] and the factor on cos and sin, as transformers' modeling_rope_utils computes them.  longrope: of
/// short documents, or of `long_documents`.
struct RotaryFrequencies {
  std::vector<float> inv_freq;
  float scale = 1;
};
RotaryFrequencies rotary_frequencies(const RotarySpec& rotary, bool long_documents = false);

/// The layers' windows, each once, in ascending order.
std::vector<int64_t> distinct_windows(const ModelSpec& model);

inline DType dtype_of(Precision precision) { return precision == Precision::bf16 ? DType::bf16 : DType::f32; }

/// The type of weights and activations in products.
inline DType compute_dtype(const ModelSettings& model) { return dtype_of(model.precision); }

}  // namespace tessera
