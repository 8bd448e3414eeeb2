#include "model/parts/linear.h"

namespace tessera {

Linear::Linear(const LinearSpec& spec, const std::string& prefix, const UnitSpec& unit, SlotList& slots) {
  std::vector<std::string> weights, biases, all_a;
  int64_t rows = 0, r = 0;
  for (const auto& [module, own_rows, storage, lora] : spec.outputs) {
    const std::string name = prefix + module;
    weights.push_back(name + ".weight");
    if (spec.bias) biases.push_back(name + ".bias");
    if (lora) {
      all_a.push_back(name + ".lora_A.weight");
      adapters_.push_back({MatrixPlace(unit, {name + ".lora_B.weight"}, lora.r), rows, r});
      scale_ = lora.scale;
    }
    rows += own_rows;
    r += lora.r;
  }
  weight_ = StackedRows(unit, weights, biases, spec.columns);
  if (adapters_.empty()) return;
  a_ = StackedRows(unit, all_a, {}, spec.columns);
  reduced_ = slots.add(r, Keep::never);
  d_reduced_ = slots.add(r, Keep::gradient);
}

View Linear::reduced_of(const LayerActivations& a, Slot slot, const Adapter& adapter) const {
  return a[slot].cols_from(adapter.first_r, adapter.b.columns());
}

void Linear::reduce(const Pass& pass, const LayerActivations& a, ConstView x) const {
  a_.forward(pass, x, {}, a[reduced_]);
  pass.kernels.residual.scale(pass.stream, a[reduced_], scale_, {}, a[reduced_]);
}

void Linear::forward(const Pass& pass, const LayerActivations& a, ConstView x, ConstView added, View y) const {
  weight_.forward(pass, x, added, y);
  if (adapters_.empty()) return;
  reduce(pass, a, x);
  for (const Adapter& adapter : adapters_) {
    const View own = y.cols_from(adapter.first_row, adapter.b.rows());
    pass.kernels.linear.forward(pass.stream, reduced_of(a, reduced_, adapter), adapter.b.in(pass.weights), {}, own,
                                own);
  }
}

void Linear::backward_input(const Pass& pass, const LayerActivations& a, ConstView dy, View dx, Write mode) const {
  weight_.backward_input(pass, dy, dx, mode);
  if (adapters_.empty()) return;
  for (const Adapter& adapter : adapters_)
    pass.kernels.linear.backward_input(pass.stream, dy.cols_from(adapter.first_row, adapter.b.rows()),
                                       adapter.b.in(pass.weights), reduced_of(a, d_reduced_, adapter),
                                       Write::overwrite);
  pass.kernels.residual.scale(pass.stream, a[d_reduced_], scale_, {}, a[d_reduced_]);
  a_.backward_input(pass, a[d_reduced_], dx, Write::accumulate);
}

void Linear::backward_weight(const BackwardPass& pass, const LayerActivations& a, ConstView dy, ConstView x) const {
  weight_.backward_weight(pass, dy, x);
  if (adapters_.empty()) return;
  reduce(pass, a, x);  // again: it is small, and no layer keeps it
  for (const Adapter& adapter : adapters_)
    pass.kernels.linear.backward_weight(pass.stream, dy.cols_from(adapter.first_row, adapter.b.rows()),
                                        reduced_of(a, reduced_, adapter), adapter.b.in(pass.gradients), pass.matrices);
  a_.backward_weight(pass, a[d_reduced_], x);
}

}  // namespace tessera
