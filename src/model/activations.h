#pragma once
#include <vector>

#include "device/buffer.h"
#include "job/job.h"
#include "model/layer.h"

namespace tessera {

/// All activation memory of a rank, made once for the largest micro-batch.  What each setting keeps a layer:
///   none       everything its backward pass reads
///   selective  all but the norms' outputs, which one shared place holds
///   full       its input and what attention gave; one shared place holds the rest while the layer is computed again
/// The SwiGLU product is in a shared place always: swiglu_backward makes it again in passing.
/// Attention's output is one width a token, and attention is what costs most to compute again where documents are long.
class ActivationStore {
 public:
  ActivationStore(Device& device, const ModelConfig& config, DType dtype, Checkpointing checkpointing, int64_t max_T);

  /// [T, C]: the residual stream that enters layer `layer`; hidden(L) is what the last one gives.
  View hidden(int64_t layer, int64_t T) const { return hidden_[static_cast<size_t>(layer)].view(T); }
  /// Where layer `layer` puts what its backward pass reads.
  LayerActivations layer(int64_t layer, int64_t T) const;
  LayerGradients gradients(int64_t T) const;
  /// [T, C]: the gradient that travels down the residual stream.
  View residual_gradient(int64_t T) const { return residual_gradient_.view(T); }

  int64_t max_tokens() const { return max_T_; }

 private:
  struct Floats {
    Buffer inv_rms_1, inv_rms_2, inv_rms_q, inv_rms_k;
  };
  const ModelConfig& config_;
  int64_t max_T_;
  // One a layer, or a single one that all layers share: index with place().
  std::vector<Buffer> hidden_, normed_1_, qkv_, qk_normed_, attended_, log_sum_exp_, middle_, normed_2_, gate_up_;
  std::vector<Floats> floats_;
  Buffer activated_, residual_gradient_, d_normed_, d_attended_, d_qkv_;
};

}  // namespace tessera
