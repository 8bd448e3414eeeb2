#pragma once
#include <string>
#include <vector>

#include "model/parts/pass.h"
#include "model/parts/stacked_rows.h"

namespace tessera {

/// y = x wᵀ + b, for modules that read the same input; of those with an adapter + s · x Aᵀ Bᵀ, which DoRA scales
/// together with x wᵀ.  An adapter reads d, what dropout leaves of x; with DoRA y = (x - d) wᵀ + scale ∘ (d wᵀ + s ·
/// d Aᵀ Bᵀ) + b, as in PEFT.
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
    MatrixPlace a, b;                     // [r, columns], [rows, r]
    MatrixPlace weight, bias, magnitude;  // of a module with DoRA, whose product is not in weight_
    int64_t first_row, first_r;
    uint64_t module;  // of its name: what it drops is its own

    int64_t rows() const { return b.rows(); }
    bool is_dora() const { return static_cast<bool>(magnitude); }
    template <typename AnyView>
    AnyView own(AnyView y) const {
      return y ? y.cols_from(first_row, rows()) : y;
    }
    View reduced(const View& u) const { return u.cols_from(first_r, b.columns()); }
  };
  Adapter make_adapter(const LinearSpec::Output& output, const std::string& name, const LinearSpec& spec,
                       const UnitSpec& unit) const;
  void add_slots(const LinearSpec& spec, SlotList& slots);
  bool drops(const Pass& pass) const { return dropout_ > 0 && pass.dropout; }
  void drop(const Pass& pass, const Adapter& adapter, ConstView x, View y, Write mode) const;
  View dropped(const Pass& pass, const LayerActivations& a, const Adapter& adapter, ConstView x) const;
  void reduce(const Pass& pass, const LayerActivations& a, ConstView x) const;
  View unscaled(const Pass& pass, const LayerActivations& a, const Adapter& adapter, ConstView x) const;
  void forward_dora(const Pass& pass, const LayerActivations& a, const Adapter& adapter, ConstView x, ConstView added,
                    View y) const;
  void find_row_scales(const Pass& pass, const LayerActivations& a, const Adapter& adapter) const;
  const float* row_scales(const LayerActivations& a, const Adapter& adapter, Slot slot) const {
    return a[slot].as<float>() + adapter.first_row;
  }

  StackedRows weight_;
  StackedRows all_a_;  // [Σ r, columns]
  std::vector<Adapter> adapters_;
  float scale_ = 1, dropout_ = 0;
  Slot reduced_, d_reduced_;    // [T, Σ r]: s · x Aᵀ, and the gradient of x Aᵀ
  Slot dropped_;                // [T, columns]: of a module at a time
  Slot unscaled_, d_unscaled_;  // [T, rows]: what DoRA scales, and its gradient
  Slot row_scale_, inv_norm_;   // [1, rows] floats: DoRA's
  Slot weight_a_, a_a_;         // W Aᵀ [rows, r], A Aᵀ [r, r], of a module at a time
};

}  // namespace tessera
