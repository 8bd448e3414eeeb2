#include "model/parts/linear.h"

namespace tessera {

namespace {

/// How many of the outputs from `first` on lie side by side in the unit, weights and biases.
size_t count_neighbours(const LinearSpec& spec, const std::string& prefix, const UnitSpec& unit, size_t first) {
  const auto follows = [&](size_t output, const char* kind) {
    const TensorSpec& one = unit.at(prefix + spec.outputs[output - 1].module + kind);
    return unit.at(prefix + spec.outputs[output].module + kind).offset == one.offset + one.size();
  };
  size_t end = first + 1;
  while (end < spec.outputs.size() && follows(end, ".weight") && (!spec.bias || follows(end, ".bias"))) ++end;
  return end - first;
}

}  // namespace

Linear::Linear(const LinearSpec& spec, const std::string& prefix, const UnitSpec& unit) {
  int64_t rows = 0;
  for (size_t first = 0, count = 0; first < spec.outputs.size(); first += count) {
    count = count_neighbours(spec, prefix, unit, first);
    std::vector<std::string> weights, biases;
    for (size_t i = first; i < first + count; ++i) {
      weights.push_back(prefix + spec.outputs[i].module + ".weight");
      biases.push_back(prefix + spec.outputs[i].module + ".bias");
    }
    Part part{MatrixPlace(unit, weights, spec.columns), {}, rows};
    if (spec.bias) part.bias = MatrixPlace(unit, biases, 1);
    rows += part.weight.rows();
    parts_.push_back(part);
  }
}

void Linear::forward(const Pass& pass, ConstView x, ConstView added, View y) const {
  for (const Part& part : parts_)
    pass.kernels.linear.forward(pass.stream, x, part.weight.in(pass.weights), part.bias.in_a_row(pass.weights),
                                part.columns_of(added), part.columns_of(y));
}

void Linear::backward_weight(const BackwardPass& pass, ConstView dy, ConstView x) const {
  for (const Part& part : parts_) {
    if (part.bias)
      pass.kernels.linear.bias_backward(pass.stream, part.columns_of(dy), part.bias.in_a_row(pass.gradients));
    pass.kernels.linear.backward_weight(pass.stream, part.columns_of(dy), x, part.weight.in(pass.gradients),
                                        pass.matrices);
  }
}

void Linear::backward_input(const Pass& pass, ConstView dy, View dx, Write mode) const {
  for (const Part& part : parts_)
    pass.kernels.linear.backward_input(pass.stream, part.columns_of(dy), part.weight.in(pass.weights), dx,
                                       &part == &parts_.front() ? mode : Write::accumulate);
}

}  // namespace tessera
