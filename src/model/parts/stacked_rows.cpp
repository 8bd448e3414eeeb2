#include "model/parts/stacked_rows.h"

namespace tessera {
namespace {

bool are_neighbours(const UnitSpec& unit, const std::string& one, const std::string& next) {
  return unit.at(next).offset == unit.at(one).offset + unit.at(one).size();
}

using Names = std::vector<std::string>;
Names part_of(const Names& names, size_t first, size_t count) {
  const auto begin = names.begin() + static_cast<std::ptrdiff_t>(first);
  return {begin, begin + static_cast<std::ptrdiff_t>(count)};
}

}  // namespace

StackedRows::StackedRows(const UnitSpec& unit, const Names& weights, const Names& biases, int64_t columns) {
  int64_t rows = 0;
  for (size_t first = 0, count = 0; first < weights.size(); first += count) {
    count = 1;
    while (first + count < weights.size() && are_neighbours(unit, weights[first + count - 1], weights[first + count]) &&
           (biases.empty() || are_neighbours(unit, biases[first + count - 1], biases[first + count])))
      ++count;
    Part part{MatrixPlace(unit, part_of(weights, first, count), columns), {}, rows};
    if (!biases.empty()) part.bias = MatrixPlace(unit, part_of(biases, first, count), 1);
    rows += part.weight.rows();
    parts_.push_back(part);
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
