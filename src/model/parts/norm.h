#pragma once
#include <string>

#include "model/parts/pass.h"

namespace tessera {

/// The kernel's settings; `spec` is one of the RMSNorms.
RmsNorm rms_norm(const NormSpec& spec);

/// A norm of rows, or of each head in them.
class Norm {
 public:
  /// Of rows of `columns`.  `statistics`: how long the backward pass finds what forward() has measured of each row.
  Norm(const NormSpec& spec, int64_t columns, const std::string& prefix, const UnitSpec& unit, SlotList& slots,
       Keep statistics = Keep::unless_full);

  /// y = norm(x) + added, which may be y, or empty; x, y [T, columns].
  void forward(const Pass& pass, const LayerActivations& a, ConstView x, ConstView added, View y) const;
  /// dx = (or +=) the gradient of x; dx may be dy.
  void backward(const BackwardPass& pass, const LayerActivations& a, ConstView x, ConstView dy, View dx,
                Write mode) const;

  explicit operator bool() const { return static_cast<bool>(weight_); }

 private:
  RmsNorm norm_;
  MatrixPlace weight_;
  Slot inv_rms_;
};

}  // namespace tessera
