#pragma once
#include "device/view.h"
#include "model/tensors.h"

namespace tessera {

/// One unit's flat buffer seen as the matrices that the layers compute with.  The same description serves the weights
/// (compute type) and their gradients (fp32).  Biases and norms that a model has not are empty views.
struct LayerWeights {
  View qkv;                      ///< [(H+2G)·D, C]: q, k and v lie side by side
  View o;                        ///< [C, H·D]
  View gate_up;                  ///< [2F, C]
  View down;                     ///< [C, F]
  View input_norm, post_norm;    ///< [1, C]
  View q_norm, k_norm;           ///< [1, D]
  View qkv_bias, o_bias;         ///< [1, (H+2G)·D], [1, C]
  View gate_up_bias, down_bias;  ///< [1, 2F], [1, C]
};
LayerWeights layer_weights(const ModelConfig& config, const UnitSpec& unit, void* flat, DType dtype);

/// The embedding's only tensor: [V, C].
View embedding_weights(const ModelConfig& config, void* flat, DType dtype);

struct HeadWeights {
  View norm;  ///< [1, C]
  View head;  ///< [V, C]; the embedding's where tied
};
/// `embedding` is used where the head is tied.
HeadWeights head_weights(const ModelConfig& config, const UnitSpec& unit, void* flat, DType dtype, View embedding);

}  // namespace tessera
