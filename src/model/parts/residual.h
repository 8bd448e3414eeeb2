#pragma once
#include <string>

#include "model/parts/norm.h"

namespace tessera {

/// How a part's output joins the residual stream: x + scale · norm(output), the norm being none, or the scale 1.
class Residual {
 public:
  Residual(const NormSpec& norm, float scale, int64_t columns, const std::string& prefix, const UnitSpec& unit,
           SlotList& slots);

  /// y = x + scale · norm(part(…)); x, y [T, C].  part(added, out): out = the part's output + added, which may be
  /// empty.
  template <typename Part>
  void forward(const Pass& pass, const LayerActivations& a, ConstView x, View y, const Part& part) const {
    if (is_plain()) return part(x, y);
    part(ConstView(), a[output_]);
    join(pass, a, x, y);
  }
  /// The part's output alone, where backward() reads it; the norm's statistics are still there.
  template <typename Part>
  void recompute(const LayerActivations& a, const Part& part) const {
    if (norm_) part(ConstView(), a[output_]);
  }
  /// The gradient of the part's output, from d, that of y: d itself where the output is added as it is.
  ConstView backward(const BackwardPass& pass, const LayerActivations& a, ConstView d) const;

 private:
  bool is_plain() const { return !norm_ && scale_ == 1; }
  void join(const Pass& pass, const LayerActivations& a, ConstView x, View y) const;

  float scale_;
  Norm norm_;
  Slot output_, d_output_;  // [T, C]; none where the output is added as it is
};

}  // namespace tessera
