#include "model/parts/mlp.h"

namespace tessera {

Mlp::Mlp(const MlpSpec& spec, const std::string& prefix, const UnitSpec& unit, SlotList& slots)
    : activation_(spec.activation),
      gate_up_(spec.gate_up, prefix, unit, slots),
      down_(spec.down, prefix, unit, slots),
      projected_(slots.add(spec.gate_up.rows(), Keep::unless_full)),
      activated_(slots.add(spec.F, Keep::never)) {}

void Mlp::inputs(const Pass& pass, const LayerActivations& a, ConstView x) const {
  gate_up_.forward(pass, a, x, {}, a[projected_]);
}

void Mlp::output(const Pass& pass, const LayerActivations& a, ConstView added, View y) const {
  pass.kernels.activation.gated_forward(pass.stream, activation_, a[projected_], a[activated_]);
  down_.forward(pass, a, a[activated_], added, y);
}

void Mlp::backward(const BackwardPass& pass, const LayerActivations& a, ConstView x, ConstView dy, View dx,
                   Write mode) const {
  // In place: gated_backward is the last to read the projections and the gradient of their product, and leaves their
  // gradients and the product there.
  const View d_activated = a[activated_], d_projected = a[projected_];
  down_.backward_input(pass, a, dy, d_activated, Write::overwrite);
  pass.kernels.activation.gated_backward(pass.stream, activation_, a[projected_], d_activated, d_projected,
                                         a[activated_]);
  down_.backward_weight(pass, a, dy, a[activated_]);
  gate_up_.backward_input(pass, a, d_projected, dx, mode);
  gate_up_.backward_weight(pass, a, d_projected, x);
}

}  // namespace tessera
