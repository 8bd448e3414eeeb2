#pragma once
#include <vector>

#include "device/buffer.h"
#include "kernels/kernels.h"
#include "model/config.h"
#include "model/weights.h"

namespace tessera {

/// The flat documents of a batch on the device, as every layer reads them.
struct Documents {
  int64_t T = 0;
  const int32_t* cu_seqlens = nullptr;  ///< host memory
  int64_t N = 0;
  const int32_t* cu_seqlens_on_device = nullptr;
  const float* cos = nullptr;  ///< [T, D/2], from rope_table
  const float* sin = nullptr;
};

/// What a layer's forward pass leaves for its backward pass.  All [T, …] in the compute type, but those of floats.
struct LayerActivations {
  View input;                    ///< [T, C]: the residual stream that enters
  View normed_1;                 ///< [T, C]
  View qkv;                      ///< [T, (H+2G)·D], rotated (with qk_norm: as projected)
  View qk_normed;                ///< [T, (H+G)·D]: q and k after their norm, rotated; only with qk_norm
  View attended;                 ///< [T, H·D]
  View middle;                   ///< [T, C]: the residual stream after attention
  View normed_2;                 ///< [T, C]
  View gate_up;                  ///< [T, 2F]
  View activated;                ///< [T, F]: not kept; the backward pass has its gradient there, then makes it again
  float* inv_rms_1 = nullptr;    ///< [T]
  float* inv_rms_2 = nullptr;    ///< [T]
  float* inv_rms_q = nullptr;    ///< [T, H], with qk_norm
  float* inv_rms_k = nullptr;    ///< [T, G], with qk_norm
  float* log_sum_exp = nullptr;  ///< [T, H]
};

/// Gradients of activations that live only inside one layer's backward pass.
struct LayerGradients {
  View normed;    ///< [T, C]
  View attended;  ///< [T, H·D]
  View qkv;       ///< [T, (H+2G)·D]
};

/// One decoder layer, for a stream and a model; holds no state of its own.
class DecoderLayer {
 public:
  DecoderLayer(Kernels& kernels, const ModelConfig& config) : kernels_(kernels), config_(config) {}

  /// output [T, C] = the layer of a.input; fills `a`.  `output` may be a.input only where the backward pass is not
  /// wanted.
  void forward(Stream& stream, int64_t layer, const LayerWeights& w, const Documents& documents,
               const LayerActivations& a, View output) const;

  /// Fills `a` as forward() does, from a.input and attention's output, which are there; `activated` and the layer's
  /// output, which no backward pass reads, are not made.
  void recompute(Stream& stream, const LayerWeights& w, const Documents& documents, const LayerActivations& a) const;

  /// Makes normed_1 and normed_2 again from what selective checkpointing keeps.
  void recompute_norms(Stream& stream, const LayerWeights& w, const LayerActivations& a) const;

  /// d [T, C]: in, the gradient of the output; out, of the input.  dw (fp32): gradients of norms and biases are added,
  /// those of matrices written as `matrices` says.  Overwrites a.gate_up and a.activated.
  void backward(Stream& stream, int64_t layer, const LayerWeights& w, const Documents& documents,
                const LayerActivations& a, const LayerGradients& scratch, View d, const LayerWeights& dw,
                Write matrices) const;

  /// One step of generation: hidden [B, C] in and out, positions through cos and sin [B, D/2]; row b's key and value
  /// are written to row length[b]-1 of its cache, then attended to (length counts the new token).
  void decode(Stream& stream, int64_t layer, const LayerWeights& w, const Documents& tokens, const LayerActivations& a,
              const std::vector<View>& k_cache, const std::vector<View>& v_cache, const std::vector<int64_t>& length,
              View output) const;

  /// q, k and v of the attention, as slices of what the forward pass wrote.
  struct Heads {
    View q, k, v;
  };
  Heads heads(const LayerActivations& a) const;

 private:
  void attention_inputs(Stream& stream, const LayerWeights& w, const Documents& documents,
                        const LayerActivations& a) const;
  void mlp_inputs(Stream& stream, const LayerWeights& w, const LayerActivations& a) const;
  void mlp_output(Stream& stream, const LayerWeights& w, const LayerActivations& a, View output) const;
  void mlp_backward(Stream& stream, const LayerWeights& w, const LayerActivations& a, const LayerGradients& scratch,
                    View d, const LayerWeights& dw, Write matrices) const;
  void qkv_backward(Stream& stream, const LayerWeights& w, const LayerActivations& a, const LayerGradients& scratch,
                    View d, const LayerWeights& dw, Write matrices) const;
  AttentionShape attention_shape(int64_t layer, const Documents& documents) const;

  Kernels& kernels_;
  const ModelConfig& config_;
};

}  // namespace tessera
