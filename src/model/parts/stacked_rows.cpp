#include "model/parts/stacked_rows.h"

namespace tessera {
namespace {

using Modules = std::vector<StackedRows::Module>;

bool are_neighbours(const UnitSpec& unit, const std::string& one, const std::string& next) {
  return unit.at(next).offset == unit.at(one).offset + unit.at(one).size();
}

/// Are they one matrix, in the unit and in y?
bool continues(const UnitSpec& unit, const StackedRows::Module& one, const StackedRows::Module& next, int64_t columns) {
  return next.first_row == one.first_row + unit.at(one.weight).size() / columns &&
         are_neighbours(unit, one.weight, next.weight) &&
         (one.bias.empty() || are_neighbours(unit, one.bias, next.bias));
}

}  // namespace

StackedRows::StackedRows(const UnitSpec& unit, const Modules& modules, int64_t columns) {
  for (size_t first = 0, end = 0; first < modules.size(); first = end) {
    std::vector<std::string> weights, biases;
    for (end = first; end < modules.size(); ++end) {
      if (end > first && !continues(unit, modules[end - 1], modules[end], columns)) break;
      weights.push_back(modules[end].weight);
      if (!modules[end].bias.empty()) biases.push_back(modules[end].bias);
    }
    parts_.push_back({MatrixPlace(unit, weights, columns),
                      biases.empty() ? MatrixPlace() : MatrixPlace(unit, biases, 1), modules[first].first_row});
  }
}

void StackedRows::forward(const Pass& pass, ConstView x, ConstView added, View y) const {
  for (const Part& part : parts_)
    pass.kernels.linear.forward(pass.stream, x, part.weight.in(pass.weights), part.bias.in_a_row(pass.weights),
                                part.columns_of(added), part.columns_of(y));
}

void StackedRows::backward_input(const Pass& pass, ConstView dy, View dx, Write mode) const {
  for (const Part& part : parts_)
    pass.kernels.linear.backward_input(pass.stream, part.columns_of(dy), part.weight.in(pass.weights), dx,
                                       &part == &parts_.front() ? mode : Write::accumulate);
}

void StackedRows::backward_weight(const BackwardPass& pass, ConstView dy, ConstView x) const {
  for (const Part& part : parts_) {
    if (const View db = part.bias.in_a_row(pass.gradients))
      pass.kernels.linear.bias_backward(pass.stream, part.columns_of(dy), db);
    if (const View dw = part.weight.in(pass.gradients))
      pass.kernels.linear.backward_weight(pass.stream, part.columns_of(dy), x, dw, pass.matrices);
  }
}

}  // namespace tessera
