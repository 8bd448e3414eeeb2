#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "model/config.h"

namespace tessera {

/// One weight: its Hugging Face name and shape, and where it lies in its unit's flat buffer.
struct TensorSpec {
  std::string name;            ///< model.layers.3.self_attn.q_proj.weight
  std::vector<int64_t> shape;  ///< [O, I], or [n] for norms and biases
  int64_t offset = 0;          ///< elements from the unit's beginning
  bool decay = true;           ///< weight decay applies: not for norm weights and biases
  enum class Init { normal, ones, zeros } init = Init::normal;  ///< with model.init = random

  int64_t size() const;
};

/// What is gathered at once: the embedding, each decoder layer, the final norm with the head.
struct UnitSpec {
  std::string name;  ///< embedding, layer 0, …, head
  std::vector<TensorSpec> tensors;
  int64_t size = 0;  ///< elements, without padding
};

/// Units in the order of the forward pass.  q, k, v lie side by side, as do gate and up, so that each group is one
/// matrix product.  A tied head has only the norm.
std::vector<UnitSpec> model_units(const ModelConfig& config);

/// Weights of the model; without the embedding table but with the head (what a token is multiplied with).
int64_t parameter_count(const ModelConfig& config);
int64_t multiplied_parameter_count(const ModelConfig& config);

}  // namespace tessera
