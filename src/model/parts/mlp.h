#pragma once
#include <string>

#include "model/parts/linear.h"

namespace tessera {

/// down(activation(gate(x)) · up(x)), gate and up being one product of the input.
class Mlp {
 public:
  Mlp(const MlpSpec& spec, const std::string& prefix, const UnitSpec& unit, SlotList& slots);

  /// gate and up from x [T, C]: the part of the forward pass that `full` does again.
  void inputs(const Pass& pass, const LayerActivations& a, ConstView x) const;
  /// y [T, C] = down(…) + added.
  void output(const Pass& pass, const LayerActivations& a, ConstView added, View y) const;
  /// dx [T, C] = (or +=) the gradient of x from dy, that of output(); dy may be dx.
  void backward(const BackwardPass& pass, const LayerActivations& a, ConstView x, ConstView dy, View dx,
                Write mode) const;

 private:
  Activation activation_;
  Linear gate_up_, down_;
  Slot projected_;  // [T, 2F]
  Slot activated_;  // [T, F]: not kept; the backward pass has its gradient there, then makes it again
};

}  // namespace tessera
