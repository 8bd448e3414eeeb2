#include "model/layer.h"

#include <algorithm>

namespace tessera {

DecoderLayer::DecoderLayer(const LayerSpec& spec, const UnitSpec& unit, DType compute)
    : DecoderLayer(spec, unit, compute, spec.attention.qkv.columns) {}

DecoderLayer::DecoderLayer(const LayerSpec& spec, const UnitSpec& unit, DType compute, int64_t C)
    : slots_(compute),
      before_attention_(spec.before_attention, C, spec.prefix, unit, slots_),
      attention_normed_(slots_.add(before_attention_ ? C : 0, Keep::with_none)),
      attention_(spec.attention, spec.prefix, unit, slots_),
      after_attention_(spec.after_attention, spec.residual_scale, C, spec.prefix, unit, slots_),
      middle_(slots_.add(C, Keep::unless_full)),
      before_mlp_(spec.before_mlp, C, spec.prefix, unit, slots_),
      mlp_normed_(slots_.add(before_mlp_ ? C : 0, Keep::with_none)),
      mlp_(spec.mlp, spec.prefix, unit, slots_),
      after_mlp_(spec.after_mlp, spec.residual_scale, C, spec.prefix, unit, slots_),
      d_normed_(slots_.add(before_attention_ || before_mlp_ ? C : 0, Keep::gradient)) {}

void DecoderLayer::attention_inputs(const Pass& pass, const LayerActivations& a) const {
  if (before_attention_) before_attention_.forward(pass, a, a.input, {}, a[attention_normed_]);
  attention_.inputs(pass, a, normed(before_attention_, attention_normed_, a, a.input));
}

void DecoderLayer::attention_output(const Pass& pass, const LayerActivations& a) const {
  after_attention_.forward(pass, a, a.input, a[middle_],
                           [&](ConstView added, View y) { attention_.output(pass, a, added, y); });
}

void DecoderLayer::mlp_inputs(const Pass& pass, const LayerActivations& a) const {
  if (before_mlp_) before_mlp_.forward(pass, a, a[middle_], {}, a[mlp_normed_]);
  mlp_.inputs(pass, a, normed(before_mlp_, mlp_normed_, a, a[middle_]));
}

void DecoderLayer::mlp_output(const Pass& pass, const LayerActivations& a, View output) const {
  after_mlp_.forward(pass, a, a[middle_], output, [&](ConstView added, View y) { mlp_.output(pass, a, added, y); });
}

void DecoderLayer::forward(const Pass& pass, const LayerActivations& a, View output) const {
  attention_inputs(pass, a);
  attention_.attend(pass, a);
  attention_output(pass, a);
  mlp_inputs(pass, a);
  mlp_output(pass, a, output);
}

void DecoderLayer::recompute(const Pass& pass, const LayerActivations& a) const {
  attention_inputs(pass, a);
  attention_output(pass, a);
  mlp_inputs(pass, a);
  after_mlp_.recompute(a, [&](ConstView added, View y) { mlp_.output(pass, a, added, y); });
}

void DecoderLayer::recompute_norms(const Pass& pass, const LayerActivations& a) const {
  if (before_attention_) before_attention_.forward(pass, a, a.input, {}, a[attention_normed_]);
  if (before_mlp_) before_mlp_.forward(pass, a, a[middle_], {}, a[mlp_normed_]);
}

void DecoderLayer::backward(const BackwardPass& pass, const LayerActivations& a, View d) const {
  // Through a part: to the norm before it, whose backward pass adds to d, or straight to d.
  const auto through = [&](const auto& part, const Norm& before, Slot normed_slot, const Residual& after, View x) {
    const ConstView d_output = after.backward(pass, a, d);
    if (!before) return part.backward(pass, a, x, d_output, d, Write::accumulate);
    part.backward(pass, a, a[normed_slot], d_output, a[d_normed_], Write::overwrite);
    before.backward(pass, a, x, a[d_normed_], d, Write::accumulate);
  };
  through(mlp_, before_mlp_, mlp_normed_, after_mlp_, a[middle_]);
  through(attention_, before_attention_, attention_normed_, after_attention_, a.input);
}

void DecoderLayer::decode(const Pass& pass, const LayerActivations& a, const KeyValueCache& cache, View output) const {
  attention_inputs(pass, a);
  attention_.attend_cached(pass, a, cache);
  attention_output(pass, a);
  mlp_inputs(pass, a);
  mlp_output(pass, a, output);
}

LargestShapes largest_shapes(const ModelSpec& model, DType compute, int64_t max_T, int64_t longest, int64_t shard) {
  LargestShapes largest{};
  largest.T = max_T, largest.C = model.C, largest.longest = longest, largest.shard = shard, largest.dtype = compute;
  for (const LayerSpec& layer : model.layers) {
    largest.H = std::max(largest.H, layer.attention.H);
    largest.G = std::max(largest.G, layer.attention.G);
    largest.D = std::max(largest.D, layer.attention.D);
    largest.F = std::max(largest.F, layer.mlp.F);
  }
  for (const LayerSpec& layer : model.layers) largest.softcap = std::max(largest.softcap, layer.attention.softcap);
  largest.windows = distinct_windows(model);
  return largest;
}

std::vector<DecoderLayer> make_layers(const ModelSpec& model, const std::vector<UnitSpec>& units, DType compute) {
  std::vector<DecoderLayer> layers;
  for (size_t i = 0; i < model.layers.size(); ++i) layers.emplace_back(model.layers[i], units[i + 1], compute);
  return layers;
}

std::vector<const SlotList*> slots_of(const std::vector<DecoderLayer>& layers) {
  std::vector<const SlotList*> slots;
  for (const DecoderLayer& layer : layers) slots.push_back(&layer.slots());
  return slots;
}

}  // namespace tessera
