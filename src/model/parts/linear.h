#pragma once
#include <string>
#include <vector>

#include "model/parts/pass.h"

namespace tessera {

/// y = x wᵀ + b, for modules whose rows lie side by side.
class Linear {
 public:
  /// `prefix`: before the modules' names.
  Linear(const LinearSpec& spec, const std::string& prefix, const UnitSpec& unit);

  /// y [T, rows] = x [T, columns] wᵀ + b + added.
  void forward(const Pass& pass, ConstView x, ConstView added, View y) const;
  /// The gradients of w and b from dy.
  void backward_weight(const BackwardPass& pass, ConstView dy, ConstView x) const;
  /// dx = (or +=) dy w.
  void backward_input(const Pass& pass, ConstView dy, View dx, Write mode) const;

 private:
  /// Modules whose weights are neighbours in the unit, and their biases too: one product.
  struct Part {
    MatrixPlace weight, bias;
    int64_t first_row = 0;

    template <typename AnyView>
    AnyView columns_of(AnyView y) const {
      return y ? y.cols_from(first_row, weight.rows()) : y;
    }
  };
  std::vector<Part> parts_;
};

}  // namespace tessera
