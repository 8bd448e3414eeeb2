#pragma once
#include "device/buffer.h"
#include "kernels/kernels.h"
#include "model/units.h"

namespace tessera {

/// The embedding's only tensor: [V, C].
View embedding_table(const ModelSpec& model, const UnitSpec& unit, const FlatUnit& flat);

/// What its rows are multiplied with where they are looked up.
float embedding_factor(const ModelSpec& model, DType compute);

struct HeadWeights {
  View norm;  ///< [1, C]
  View head;  ///< [V, C]; the embedding's where tied
};
/// `embedding` is used where the head is tied.
HeadWeights head_weights(const ModelSpec& model, const UnitSpec& unit, const FlatUnit& flat, View embedding);

/// The tokens of a batch that carry loss; only they go through the head.
struct Supervised {
  int64_t S = 0;
  const int32_t* rows = nullptr;     ///< [S], ascending: which of the batch's T tokens
  const int32_t* targets = nullptr;  ///< [S], ids
};

/// Tokens whose logits exist at once, for a vocabulary of V and at most max_T tokens: what a device's products want.
int64_t loss_chunk(DeviceKind device, int64_t V, int64_t max_T);

/// From one row of logits to the next: rows begin aligned, as products and kernels want it, whatever the vocabulary.
int64_t logit_columns(int64_t V);

/// Final norm, head and loss over the vocabulary, in chunks of tokens: logits for the whole batch never exist.
class LossHead {
 public:
  LossHead(Device& device, Kernels& kernels, const ModelSpec& model, DType dtype, int64_t max_T);

  /// *loss_sum += Σ cross-entropy of the supervised tokens; hidden [T, C].
  void forward(Stream& stream, View hidden, const HeadWeights& w, const Supervised& supervised, double* loss_sum);

  /// The same, with gradients of `scale` · Σ: d [T, C] (overwritten) and dw (fp32; empty what is not trained): the
  /// norm's is added, the matrix's written as `matrix` says.
  void forward_backward(Stream& stream, View hidden, const HeadWeights& w, const Supervised& supervised, float scale,
                        double* loss_sum, View d, const HeadWeights& dw, Write matrix);

  /// logits [B, V] fp32 of the given rows of hidden; B at most chunk().  For generation.
  void logits(Stream& stream, View hidden, const int32_t* rows, int64_t B, const HeadWeights& w, View logits);

  int64_t chunk() const { return chunk_; }

 private:
  /// S tokens in as few chunks as there can be, of about one size: a small last one would be multiplied less
  /// efficiently.
  int64_t rows_a_chunk(int64_t S) const;
  View logits_of(int64_t rows) const;
  void gather_and_norm(Stream& stream, View hidden, const int32_t* rows, int64_t S, const HeadWeights& w);

  Kernels& kernels_;
  int64_t V_;
  RmsNorm norm_;
  LogitTransform transform_;
  int64_t chunk_;                        // tokens whose logits exist at once
  Buffer gathered_, normed_, d_normed_;  // [max_T, C]
  Buffer inv_rms_;                       // [max_T] floats
  Buffer logits_;                        // [chunk, logit_columns(V)] fp32, then their gradient over them
};

}  // namespace tessera
