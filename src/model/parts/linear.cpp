#include "model/parts/linear.h"

namespace tessera {

Linear::Linear(const LinearSpec& spec, const std::string& prefix, const UnitSpec& unit) {
  std::vector<std::string> weights, biases;
  for (const LinearSpec::Output& output : spec.outputs) {
    weights.push_back(prefix + output.module + ".weight");
    biases.push_back(prefix + output.module + ".bias");
  }
  weight_ = MatrixPlace(unit, weights, spec.columns);
  if (spec.bias) bias_ = MatrixPlace(unit, biases, 1);
}

void Linear::forward(const Pass& pass, ConstView x, ConstView added, View y) const {
  pass.kernels.linear.forward(pass.stream, x, weight_.in(pass.weights), bias_.in_a_row(pass.weights), added, y);
}

void Linear::backward_weight(const BackwardPass& pass, ConstView dy, ConstView x) const {
  if (bias_) pass.kernels.linear.bias_backward(pass.stream, dy, bias_.in_a_row(pass.gradients));
  pass.kernels.linear.backward_weight(pass.stream, dy, x, weight_.in(pass.gradients), pass.matrices);
}

void Linear::backward_input(const Pass& pass, ConstView dy, View dx, Write mode) const {
  pass.kernels.linear.backward_input(pass.stream, dy, weight_.in(pass.weights), dx, mode);
}

}  // namespace tessera
