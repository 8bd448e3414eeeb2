#pragma once
#include "model/parts/attention.h"
#include "model/parts/mlp.h"
#include "model/parts/norm.h"
#include "model/parts/residual.h"

namespace tessera {

/// One decoder layer, as LayerSpec says it.  Made of its description and its unit; holds no state of its own.
class DecoderLayer {
 public:
  /// `compute`: the type of its activations.
  DecoderLayer(const LayerSpec& spec, const UnitSpec& unit, DType compute);

  /// What it wants of an ActivationStore.
  const SlotList& slots() const { return slots_; }
  const Attention& attention() const { return attention_; }

  /// output [T, C] = the layer of a.input; fills `a`.  `output` may be a.input only where the backward pass is not
  /// wanted.
  void forward(const Pass& pass, const LayerActivations& a, View output) const;

  /// Fills `a` as forward() does, from a.input and attention's output, which are there; what no backward pass reads
  /// (the gated product, the layer's output) is not made.
  void recompute(const Pass& pass, const LayerActivations& a) const;
  /// The norms' outputs alone, from the rest of `a`.
  void recompute_norms(const Pass& pass, const LayerActivations& a) const;

  /// d [T, C]: the gradient of the output, which becomes that of the input.
  void backward(const BackwardPass& pass, const LayerActivations& a, View d) const;

  /// forward() for one new token of each sequence.
  void decode(const Pass& pass, const LayerActivations& a, const KeyValueCache& cache, View output) const;

 private:
  DecoderLayer(const LayerSpec& spec, const UnitSpec& unit, DType compute, int64_t C);
  /// What a part reads: the residual stream, or its norm.
  View normed(const Norm& norm, Slot slot, const LayerActivations& a, View x) const { return norm ? a[slot] : x; }
  void attention_inputs(const Pass& pass, const LayerActivations& a) const;
  void attention_output(const Pass& pass, const LayerActivations& a) const;
  void mlp_inputs(const Pass& pass, const LayerActivations& a) const;
  void mlp_output(const Pass& pass, const LayerActivations& a, View output) const;

  SlotList slots_;
  Norm before_attention_;
  Slot attention_normed_;  // [T, C]
  Attention attention_;
  Residual after_attention_;
  Slot middle_;  // [T, C]: the residual stream after attention
  Norm before_mlp_;
  Slot mlp_normed_;  // [T, C]
  Mlp mlp_;
  Residual after_mlp_;
  Slot d_normed_;  // [T, C]
};

/// The largest sizes of a model, for Kernels::reserve(); `longest`, `shard`: as LargestShapes has them.
LargestShapes largest_shapes(const ModelSpec& model, DType compute, int64_t max_T, int64_t longest, int64_t shard);

/// The layers of a model; `units`: all of it.
std::vector<DecoderLayer> make_layers(const ModelSpec& model, const std::vector<UnitSpec>& units, DType compute);
std::vector<const SlotList*> slots_of(const std::vector<DecoderLayer>& layers);

}  // namespace tessera
