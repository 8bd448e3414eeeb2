#pragma once
#include "kernels/subject.h"

namespace tessera {

/// What DoRA adds to a module with an adapter (Liu et al. 2024): y = scale ∘ (x Wᵀ + s x Aᵀ Bᵀ) + bias, where scale is
/// magnitude / the norm of each row of W + s B A, and the norm counts as a constant in the backward pass, as in PEFT.
class DoraKernels : public KernelSubject {
 public:
  /// norm² of row o = |w|² + 2 s b·(A w) + s² bᵀ (A Aᵀ) b, so that B A is never made.  w [rows, columns], b [rows, r],
  /// magnitude [1, rows]: compute type; wa [rows, r] = W Aᵀ and aa [r, r] = A Aᵀ: fp32.
  /// scale[o] = magnitude[o] / norm, inv_norm[o] = 1 / norm.
  void row_scales(Stream& stream, ConstView w, ConstView b, ConstView magnitude, ConstView wa, ConstView aa, float s,
                  float* scale, float* inv_norm) {
    timed(stream, Phase::elementwise, "dora_row_scales",
          [&] { enqueue_dora_row_scales(stream, w, b, magnitude, wa, aa, s, scale, inv_norm); });
  }
  /// y[t,o] = scale[o] · x[t,o] + bias[o] + added[t,o].  x, y, added [T, rows]: compute type; bias [1, rows] likewise,
  /// or empty, as added may be.  y may be x, or added.
  void scale_columns(Stream& stream, ConstView x, const float* scale, ConstView bias, ConstView added, View y) {
    timed(stream, Phase::elementwise, "dora_scale_columns",
          [&] { enqueue_dora_scale_columns(stream, x, scale, bias, added, y); });
  }
  /// d[o] += inv_norm[o] · Σ_t x[t,o] · dy[t,o]: the gradient of the magnitude, where x is what scale multiplies.
  /// x, dy [T, rows]: compute type; d [1, rows]: fp32.
  void magnitude_backward(Stream& stream, ConstView x, ConstView dy, const float* inv_norm, View d) {
    timed(stream, Phase::elementwise, "dora_magnitude_backward",
          [&] { enqueue_dora_magnitude_backward(stream, x, dy, inv_norm, d); });
  }

 private:
  virtual void enqueue_dora_row_scales(Stream&, ConstView w, ConstView b, ConstView magnitude, ConstView wa,
                                       ConstView aa, float s, float* scale, float* inv_norm) = 0;
  virtual void enqueue_dora_scale_columns(Stream&, ConstView x, const float* scale, ConstView bias, ConstView added,
                                          View y) = 0;
  virtual void enqueue_dora_magnitude_backward(Stream&, ConstView x, ConstView dy, const float* inv_norm, View d) = 0;
};

}  // namespace tessera
