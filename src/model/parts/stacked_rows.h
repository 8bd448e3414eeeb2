#pragma once
#include <string>
#include <vector>

#include "model/parts/pass.h"

namespace tessera {

/// Matrices of one width that read the same input, [Σ rows, columns], and their biases: as few products as neighbours
/// in the unit allow.
class StackedRows {
 public:
  /// Names of tensors, and where the module's columns of y begin.
  struct Module {
    std::string weight, bias;  ///< bias: empty where there is none
    int64_t first_row = 0;
  };
  StackedRows() = default;
  /// In the order of their rows; all have a bias, or none.
  StackedRows(const UnitSpec& unit, const std::vector<Module>& modules, int64_t columns);

  bool empty() const { return parts_.empty(); }

  /// y [T, rows] = x [T, columns] wᵀ + b + added.
  void forward(const Pass& pass, ConstView x, ConstView added, View y) const;
  /// dx = (or +=) dy w.
  void backward_input(const Pass& pass, ConstView dy, View dx, Write mode) const;
  /// The gradients of w and b from dy, where they are trained.
  void backward_weight(const BackwardPass& pass, ConstView dy, ConstView x) const;

 private:
  /// Neighbours in the unit, weights and biases: one product.
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
