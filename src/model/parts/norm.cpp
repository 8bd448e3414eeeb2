#include "model/parts/norm.h"

#include "base/number.h"

namespace tessera {

Norm::Norm(const NormSpec& spec, int64_t columns, const std::string& prefix, const UnitSpec& unit, SlotList& slots) {
  if (!spec) return;
  norm_ = {static_cast<float>(spec.eps)};
  weight_ = MatrixPlace(unit, {prefix + spec.module + ".weight"}, 1);
  inv_rms_ = slots.add_floats(div_exact(columns, spec.width), Keep::unless_full);
}

void Norm::forward(const Pass& pass, const LayerActivations& a, ConstView x, View y) const {
  const View w = weight_.in_a_row(pass.weights);
  pass.kernels.norm.rmsnorm_forward(pass.stream, x, w, norm_, {}, y, a[inv_rms_].as<float>());
}

void Norm::backward(const BackwardPass& pass, const LayerActivations& a, ConstView x, ConstView dy, View dx,
                    Write mode) const {
  const View w = weight_.in_a_row(pass.weights), dw = weight_.in_a_row(pass.gradients);
  pass.kernels.norm.rmsnorm_backward(pass.stream, x, w, norm_, a[inv_rms_].as<float>(), dy, dx, mode, dw);
}

}  // namespace tessera
