#pragma once
#include <string>
#include <vector>

#include "model/parts/pass.h"
#include "model/parts/stacked_rows.h"

namespace tessera {

/// y = x wᵀ + b, for modules that read the same input, and of those with an adapter + scale · x Aᵀ Bᵀ.
class Linear {
 public:
  /// `prefix`: before the modules' names.
  Linear(const LinearSpec& spec, const std::string& prefix, const UnitSpec& unit, SlotList& slots);

  /// y [T, rows] = the above of x [T, columns], + added.
  void forward(const Pass& pass, const LayerActivations& a, ConstView x, ConstView added, View y) const;
  /// dx = (or +=) the gradient of x from dy.
  void backward_input(const Pass& pass, const LayerActivations& a, ConstView dy, View dx, Write mode) const;
  /// The gradients of all that is trained, from the same dy, after backward_input().
  void backward_weight(const BackwardPass& pass, const LayerActivations& a, ConstView dy, ConstView x) const;

 private:
  struct Adapter {
    MatrixPlace b;  // [rows, r]
    int64_t first_row, first_r;
  };
  View reduced_of(const LayerActivations& a, Slot slot, const Adapter& adapter) const;
  void reduce(const Pass& pass, const LayerActivations& a, ConstView x) const;

  StackedRows weight_;
  StackedRows a_;  // [Σ r, columns]
  std::vector<Adapter> adapters_;
  float scale_ = 1;
  Slot reduced_, d_reduced_;  // [T, Σ r]: scale · x Aᵀ, and the gradient of x Aᵀ
};

}  // namespace tessera
