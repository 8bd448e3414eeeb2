#include "kernels/counting_kernels.h"

#include <utility>

namespace tessera {
namespace {

class CountingLinear final : public LinearKernels {
  void enqueue_linear_forward(Stream&, ConstView, ConstView, ConstView, ConstView, View) override {}
  void enqueue_linear_backward_input(Stream&, ConstView, ConstView, View, Write) override {}
  void enqueue_linear_backward_weight(Stream&, ConstView, ConstView, View, Write) override {}
  void enqueue_bias_backward(Stream&, ConstView, View) override {}
};

class CountingEmbedding final : public EmbeddingKernels {
  void enqueue_embedding_forward(Stream&, const int32_t*, ConstView, View, float) override {}
  void enqueue_embedding_backward(Stream&, const int32_t*, ConstView, View, float, int32_t) override {}
  void enqueue_scatter_rows(Stream&, const int32_t*, ConstView, View) override {}
};

class CountingNorm final : public NormKernels {
  void enqueue_rmsnorm_forward(Stream&, ConstView, ConstView, const RmsNorm&, ConstView, View, float*) override {}
  void enqueue_rmsnorm_backward(Stream&, ConstView, ConstView, const RmsNorm&, const float*, ConstView, View, Write,
                                View) override {}
};

class CountingRotary final : public RotaryKernels {
  void enqueue_rope_table(Stream&, const int32_t*, int64_t, const float*, int64_t, float, float*, float*) override {}
  void enqueue_rope_forward(Stream&, const float*, const float*, const RotaryHeads&, View) override {}
  void enqueue_rope_backward(Stream&, const float*, const float*, const RotaryHeads&, View) override {}
};

class CountingAttention final : public AttentionKernels {
  void enqueue_attention_forward(Stream&, const AttentionShape&, ConstView, ConstView, ConstView, View,
                                 float*) override {}
  void enqueue_attention_backward(Stream&, const AttentionShape&, ConstView, ConstView, ConstView, ConstView,
                                  const float*, ConstView, View, View, View) override {}
  void enqueue_attention_decode(Stream&, const AttentionShape&, ConstView, const View*, const View*, const int64_t*,
                                View) override {}
};

class CountingActivation final : public ActivationKernels {
  void enqueue_gated_forward(Stream&, Activation, ConstView, View) override {}
  void enqueue_gated_backward(Stream&, Activation, ConstView, ConstView, View, View) override {}
};

class CountingResidual final : public ResidualKernels {
  void enqueue_scale(Stream&, ConstView, float, ConstView, View) override {}
};

class CountingLoss final : public LossKernels {
  void enqueue_cross_entropy(Stream&, ConstView, const int32_t*, const LogitTransform&, float, View, double*) override {
  }
  void enqueue_transform_logits(Stream&, const LogitTransform&, View) override {}
};

class CountingOptimizer final : public OptimizerKernels {
  void enqueue_squared_norm(Stream&, const float*, int64_t, double*) override {}
  void enqueue_adamw(Stream&, const AdamWStep&, int64_t, float*, float*, float*, const float*, View) override {}
  void enqueue_adamw_8bit(Stream&, const AdamWStep&, int64_t, float*, BlockState, BlockState, const float*,
                          View) override {}
};

class CountingMemory final : public MemoryKernels {
  void enqueue_cast(Stream&, ConstView, View) override {}
  void enqueue_fill_zero(Stream&, void*, int64_t) override {}
  void enqueue_copy(Stream&, const void*, void*, int64_t) override {}
};

class CountingQuantization final : public QuantizationKernels {
  void enqueue_dequantize_nf4(Stream&, const Nf4Matrix&, View) override {}
  void enqueue_dequantize_int8(Stream&, const Int8Matrix&, View) override {}
};

class CountingDora final : public DoraKernels {
  void enqueue_dora_row_scales(Stream&, ConstView, ConstView, ConstView, ConstView, ConstView, float, float*,
                               float*) override {}
  void enqueue_dora_scale_columns(Stream&, ConstView, const float*, ConstView, ConstView, View) override {}
  void enqueue_dora_magnitude_backward(Stream&, ConstView, ConstView, const float*, View) override {}
};

class CountingDropout final : public DropoutKernels {
  void enqueue_dropout(Stream&, const Dropout&, ConstView, View, Write) override {}
};

}  // namespace

std::unique_ptr<Kernels> make_counting_kernels() {
  KernelSet set;
  set.linear = std::make_unique<CountingLinear>();
  set.embedding = std::make_unique<CountingEmbedding>();
  set.norm = std::make_unique<CountingNorm>();
  set.rotary = std::make_unique<CountingRotary>();
  set.attention = std::make_unique<CountingAttention>();
  set.activation = std::make_unique<CountingActivation>();
  set.residual = std::make_unique<CountingResidual>();
  set.loss = std::make_unique<CountingLoss>();
  set.optimizer = std::make_unique<CountingOptimizer>();
  set.memory = std::make_unique<CountingMemory>();
  set.quantization = std::make_unique<CountingQuantization>();
  set.dora = std::make_unique<CountingDora>();
  set.dropout = std::make_unique<CountingDropout>();
  return std::make_unique<Kernels>(std::move(set));
}

}  // namespace tessera
