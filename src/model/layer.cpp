#include "model/layer.h"

#include <algorithm>

namespace tessera {

DecoderLayer::DecoderLayer(const LayerSpec& spec, const UnitSpec& unit, DType compute)
    : slots_(compute),
      attention_norm_(spec.attention_norm, spec.attention.qkv.columns, spec.prefix, unit, slots_),
      attention_normed_(slots_.add(spec.attention.qkv.columns, Keep::with_none)),
      attention_(spec.attention, spec.prefix, unit, slots_),
      middle_(slots_.add(spec.mlp.gate_up.columns, Keep::unless_full)),
      mlp_norm_(spec.mlp_norm, spec.mlp.gate_up.columns, spec.prefix, unit, slots_),
      mlp_normed_(slots_.add(spec.mlp.gate_up.columns, Keep::with_none)),
      mlp_(spec.mlp, spec.prefix, unit, slots_),
      d_normed_(slots_.add(spec.mlp.gate_up.columns, Keep::gradient)) {}

void DecoderLayer::attention_inputs(const Pass& pass, const LayerActivations& a) const {
  attention_norm_.forward(pass, a, a.input, a[attention_normed_]);
  attention_.inputs(pass, a, a[attention_normed_]);
}

void DecoderLayer::attention_output(const Pass& pass, const LayerActivations& a) const {
  attention_.output(pass, a, a.input, a[middle_]);
}

void DecoderLayer::mlp_inputs(const Pass& pass, const LayerActivations& a) const {
  mlp_norm_.forward(pass, a, a[middle_], a[mlp_normed_]);
  mlp_.inputs(pass, a, a[mlp_normed_]);
}

void DecoderLayer::forward(const Pass& pass, const LayerActivations& a, View output) const {
  attention_inputs(pass, a);
  attention_.attend(pass, a);
  attention_output(pass, a);
  mlp_inputs(pass, a);
  mlp_.output(pass, a, a[middle_], output);
}

void DecoderLayer::recompute(const Pass& pass, const LayerActivations& a) const {
  attention_inputs(pass, a);
  attention_output(pass, a);
  mlp_inputs(pass, a);
}

void DecoderLayer::recompute_norms(const Pass& pass, const LayerActivations& a) const {
  attention_norm_.forward(pass, a, a.input, a[attention_normed_]);
  mlp_norm_.forward(pass, a, a[middle_], a[mlp_normed_]);
}

void DecoderLayer::backward(const BackwardPass& pass, const LayerActivations& a, View d) const {
  mlp_.backward(pass, a, a[mlp_normed_], d, a[d_normed_], Write::overwrite);
  mlp_norm_.backward(pass, a, a[middle_], a[d_normed_], d, Write::accumulate);
  attention_.backward(pass, a, a[attention_normed_], d, a[d_normed_], Write::overwrite);
  attention_norm_.backward(pass, a, a.input, a[d_normed_], d, Write::accumulate);
}

void DecoderLayer::decode(const Pass& pass, const LayerActivations& a, const KeyValueCache& cache, View output) const {
  attention_inputs(pass, a);
  attention_.attend_cached(pass, a, cache);
  attention_output(pass, a);
  mlp_inputs(pass, a);
  mlp_.output(pass, a, a[middle_], output);
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
