#include "model/parts/residual.h"

#include <stdexcept>

namespace tessera {

Residual::Residual(const NormSpec& norm, float scale, int64_t columns, const std::string& prefix, const UnitSpec& unit,
                   SlotList& slots)
    : scale_(scale), norm_(norm, columns, prefix, unit, slots, Keep::always) {
  if (norm_ && scale != 1) throw std::logic_error("a residual branch with a norm behind it has no scale");
  if (is_plain()) return;
  output_ = slots.add(columns, norm_ ? Keep::unless_full : Keep::never);
  d_output_ = slots.add(columns, Keep::gradient);
}

void Residual::join(const Pass& pass, const LayerActivations& a, ConstView x, View y) const {
  if (norm_)
    norm_.forward(pass, a, a[output_], x, y);
  else
    pass.kernels.residual.scale(pass.stream, a[output_], scale_, x, y);
}

ConstView Residual::backward(const BackwardPass& pass, const LayerActivations& a, ConstView d) const {
  if (is_plain()) return d;
  if (norm_)
    norm_.backward(pass, a, a[output_], d, a[d_output_], Write::overwrite);
  else
    pass.kernels.residual.scale(pass.stream, d, scale_, {}, a[d_output_]);
  return a[d_output_];
}

}  // namespace tessera
