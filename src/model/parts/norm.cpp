#include "model/parts/norm.h"

#include "base/number.h"

namespace tessera {

RmsNorm rms_norm(const NormSpec& spec) {
  return {static_cast<float>(spec.eps), spec.kind == NormKind::rms_plus_one ? 1.0f : 0.0f};
}

Norm::Norm(const NormSpec& spec, int64_t columns, const std::string& prefix, const UnitSpec& unit, SlotList& slots,
           Keep statistics) {
  if (!spec) return;
  norm_ = rms_norm(spec);
  weight_ = MatrixPlace(unit, {prefix + spec.module + ".weight"}, 1);
  inv_rms_ = slots.add_floats(div_exact(columns, spec.width), statistics);
}

void Norm::forward(const Pass& pass, const LayerActivations& a, ConstView x, ConstView added, View y) const {
  const View w = weight_.in_a_row(pass.weights);
  pass.kernels.norm.rmsnorm_forward(pass.stream, x, w, norm_, added, y, a[inv_rms_].as<float>());
}

void Norm::backward(const BackwardPass& pass, const LayerActivations& a, ConstView x, ConstView dy, View dx,
                    Write mode) const {
  const View w = weight_.in_a_row(pass.weights), dw = weight_.in_a_row(pass.gradients);
  pass.kernels.norm.rmsnorm_backward(pass.stream, x, w, norm_, a[inv_rms_].as<float>(), dy, dx, mode, dw);
}

}  // namespace tessera
