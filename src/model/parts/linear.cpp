#include "model/parts/linear.h"

#include <algorithm>

#include "base/hash.h"
#include "base/splitmix.h"

namespace tessera {

Linear::Linear(const LinearSpec& spec, const std::string& prefix, const UnitSpec& unit, SlotList& slots) {
  std::vector<StackedRows::Module> weights, all_a;
  int64_t rows = 0, r = 0;
  for (const LinearSpec::Output& output : spec.outputs) {
    const std::string name = prefix + output.module;
    if (!output.lora.dora) weights.push_back({name + ".weight", spec.bias ? name + ".bias" : "", rows});
    if (output.lora) {
      all_a.push_back({name + ".lora_A.weight", "", r});
      Adapter adapter = make_adapter(output, name, spec, unit);
      adapter.first_row = rows, adapter.first_r = r;
      adapters_.push_back(adapter);
      scale_ = output.lora.scale;
      dropout_ = output.lora.dropout;
    }
    rows += output.rows;
    r += output.lora.r;
  }
  weight_ = StackedRows(unit, weights, spec.columns);
  all_a_ = StackedRows(unit, all_a, spec.columns);
  add_slots(spec, slots);
}

Linear::Adapter Linear::make_adapter(const LinearSpec::Output& output, const std::string& name, const LinearSpec& spec,
                                     const UnitSpec& unit) const {
  Adapter adapter{};
  adapter.a = MatrixPlace(unit, {name + ".lora_A.weight"}, spec.columns);
  adapter.module = xxh3(name.data(), name.size());
  adapter.b = MatrixPlace(unit, {name + ".lora_B.weight"}, output.lora.r);
  if (!output.lora.dora) return adapter;
  adapter.weight = MatrixPlace(unit, {name + ".weight"}, spec.columns);
  if (spec.bias) adapter.bias = MatrixPlace(unit, {name + ".bias"}, 1);
  adapter.magnitude = MatrixPlace(unit, {name + ".lora_magnitude_vector"}, 1);
  return adapter;
}

/// Of no columns where there is no use for them: a slot has one number in all layers.
void Linear::add_slots(const LinearSpec& spec, SlotList& slots) {
  int64_t r = 0, dora_rows = 0, most_rows = 0, most_r = 0;
  for (const LinearSpec::Output& output : spec.outputs) {
    r += output.lora.r;
    if (!output.lora.dora) continue;
    dora_rows = spec.rows();
    most_rows = std::max(most_rows, output.rows);
    most_r = std::max(most_r, output.lora.r);
  }
  reduced_ = slots.add(r, Keep::never);
  d_reduced_ = slots.add(r, Keep::gradient);
  dropped_ = slots.add(dropout_ > 0 ? spec.columns : 0, Keep::never);
  unscaled_ = slots.add(dora_rows, Keep::never);
  d_unscaled_ = slots.add(dora_rows, Keep::gradient);
  row_scale_ = slots.add_fixed(1, dora_rows);
  inv_norm_ = slots.add_fixed(1, dora_rows);
  weight_a_ = slots.add_fixed(most_rows, most_r);
  a_a_ = slots.add_fixed(most_r, most_r);
}

void Linear::drop(const Pass& pass, const Adapter& adapter, ConstView x, View y, Write mode) const {
  const Dropout dropout{.key = splitmix64(static_cast<uint64_t>(pass.dropout.seed)) ^ adapter.module,
                        .step = pass.dropout.step,
                        .rate = dropout_,
                        .samples = pass.documents.samples,
                        .positions = pass.documents.positions};
  pass.kernels.dropout.dropout(pass.stream, dropout, x, y, mode);
}

/// What the module's adapter reads of x, until the next module's.
View Linear::dropped(const Pass& pass, const LayerActivations& a, const Adapter& adapter, ConstView x) const {
  drop(pass, adapter, x, a[dropped_], Write::overwrite);
  return a[dropped_];
}

/// s · x Aᵀ: of all modules at once, unless each drops its own part of x.
void Linear::reduce(const Pass& pass, const LayerActivations& a, ConstView x) const {
  if (drops(pass)) {
    for (const Adapter& adapter : adapters_)
      pass.kernels.linear.forward(pass.stream, dropped(pass, a, adapter, x), adapter.a.in(pass.weights), {}, {},
                                  adapter.reduced(a[reduced_]));
  } else {
    all_a_.forward(pass, x, {}, a[reduced_]);
  }
  pass.kernels.residual.scale(pass.stream, a[reduced_], scale_, {}, a[reduced_]);
}

/// x Wᵀ + s · x Aᵀ Bᵀ of a module with DoRA, after reduce(); of what dropout leaves of x.
View Linear::unscaled(const Pass& pass, const LayerActivations& a, const Adapter& adapter, ConstView x) const {
  const View z = adapter.own(a[unscaled_]);
  pass.kernels.linear.forward(pass.stream, x, adapter.weight.in(pass.weights), {}, {}, z);
  pass.kernels.linear.forward(pass.stream, adapter.reduced(a[reduced_]), adapter.b.in(pass.weights), {}, z, z);
  return z;
}

void Linear::find_row_scales(const Pass& pass, const LayerActivations& a, const Adapter& adapter) const {
  const View w = adapter.weight.in(pass.weights), own_a = adapter.a.in(pass.weights);
  const View wa(a[weight_a_].data, DType::f32, w.rows, own_a.rows),
      aa(a[a_a_].data, DType::f32, own_a.rows, own_a.rows);
  pass.kernels.linear.forward(pass.stream, w, own_a, {}, {}, wa);
  pass.kernels.linear.forward(pass.stream, own_a, own_a, {}, {}, aa);
  pass.kernels.dora.row_scales(pass.stream, w, adapter.b.in(pass.weights), adapter.magnitude.in_a_row(pass.weights), wa,
                               aa, scale_, a[row_scale_].as<float>() + adapter.first_row,
                               a[inv_norm_].as<float>() + adapter.first_row);
}

void Linear::forward(const Pass& pass, const LayerActivations& a, ConstView x, ConstView added, View y) const {
  weight_.forward(pass, x, added, y);
  if (adapters_.empty()) return;
  reduce(pass, a, x);
  for (const Adapter& adapter : adapters_) {
    const View own = adapter.own(y);
    if (!adapter.is_dora()) {
      pass.kernels.linear.forward(pass.stream, adapter.reduced(a[reduced_]), adapter.b.in(pass.weights), {}, own, own);
      continue;
    }
    forward_dora(pass, a, adapter, x, adapter.own(added), own);
  }
}

void Linear::forward_dora(const Pass& pass, const LayerActivations& a, const Adapter& adapter, ConstView x,
                          ConstView added, View y) const {
  if (drops(pass)) {
    const View rest = dropped(pass, a, adapter, x);
    pass.kernels.residual.scale(pass.stream, rest, -1, x, rest);  // what dropout takes away is not scaled
    pass.kernels.linear.forward(pass.stream, rest, adapter.weight.in(pass.weights), {}, added, y);
    added = y;
    x = dropped(pass, a, adapter, x);
  }
  const View z = unscaled(pass, a, adapter, x);
  find_row_scales(pass, a, adapter);
  pass.kernels.dora.scale_columns(pass.stream, z, row_scales(a, adapter, row_scale_),
                                  adapter.bias.in_a_row(pass.weights), added, y);
}

void Linear::backward_input(const Pass& pass, const LayerActivations& a, ConstView dy, View dx, Write mode) const {
  weight_.backward_input(pass, dy, dx, mode);
  if (adapters_.empty()) return;
  Write to_dx = weight_.empty() ? mode : Write::accumulate;
  for (const Adapter& adapter : adapters_) {
    ConstView d = adapter.own(dy);
    if (adapter.is_dora()) {
      const View scaled = adapter.own(a[d_unscaled_]);
      find_row_scales(pass, a, adapter);
      pass.kernels.dora.scale_columns(pass.stream, d, row_scales(a, adapter, row_scale_), {}, {}, scaled);
      pass.kernels.linear.backward_input(pass.stream, drops(pass) ? d : ConstView(scaled),
                                         adapter.weight.in(pass.weights), dx, to_dx);
      to_dx = Write::accumulate;
      d = scaled;
    }
    pass.kernels.linear.backward_input(pass.stream, d, adapter.b.in(pass.weights), adapter.reduced(a[d_reduced_]),
                                       Write::overwrite);
  }
  pass.kernels.residual.scale(pass.stream, a[d_reduced_], scale_, {}, a[d_reduced_]);
  if (!drops(pass)) return all_a_.backward_input(pass, a[d_reduced_], dx, Write::accumulate);
  for (const Adapter& adapter : adapters_) {
    Write to_dropped = Write::overwrite;
    if (adapter.is_dora()) {  // beside dy W, which is in dx
      const View rest = adapter.own(a[unscaled_]);
      pass.kernels.residual.scale(pass.stream, adapter.own(dy), -1, adapter.own(a[d_unscaled_]), rest);
      pass.kernels.linear.backward_input(pass.stream, rest, adapter.weight.in(pass.weights), a[dropped_], to_dropped);
      to_dropped = Write::accumulate;
    }
    pass.kernels.linear.backward_input(pass.stream, adapter.reduced(a[d_reduced_]), adapter.a.in(pass.weights),
                                       a[dropped_], to_dropped);
    drop(pass, adapter, a[dropped_], dx, Write::accumulate);
  }
}

void Linear::backward_weight(const BackwardPass& pass, const LayerActivations& a, ConstView dy, ConstView x) const {
  weight_.backward_weight(pass, dy, x);
  if (adapters_.empty()) return;
  reduce(pass, a, x);  // again: it is small, and no layer keeps it
  for (const Adapter& adapter : adapters_) {
    ConstView d = adapter.own(dy);
    if (adapter.is_dora()) {
      const ConstView read = drops(pass) ? ConstView(dropped(pass, a, adapter, x)) : x;
      pass.kernels.dora.magnitude_backward(pass.stream, unscaled(pass, a, adapter, read), d,
                                           row_scales(a, adapter, inv_norm_),
                                           adapter.magnitude.in_a_row(pass.gradients));
      d = adapter.own(a[d_unscaled_]);
    }
    pass.kernels.linear.backward_weight(pass.stream, d, adapter.reduced(a[reduced_]), adapter.b.in(pass.gradients),
                                        pass.matrices);
  }
  if (!drops(pass)) return all_a_.backward_weight(pass, a[d_reduced_], x);
  for (const Adapter& adapter : adapters_)
    pass.kernels.linear.backward_weight(pass.stream, adapter.reduced(a[d_reduced_]), dropped(pass, a, adapter, x),
                                        adapter.a.in(pass.gradients), pass.matrices);
}

}  // namespace tessera
