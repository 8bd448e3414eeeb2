#pragma once
#include "kernels/subject.h"

namespace tessera {

/// How a row is normalised.
struct RmsNorm {
  float eps;
  float weight_offset = 0;  ///< added to w in fp32; 1 where a model keeps its weights less 1 (Gemma)
};

/// Normalisation of rows, or of each head of a row: of each w.cols columns of x, which x.cols is a multiple of.
class NormKernels : public KernelSubject {
 public:
  /// y[t,:] = added[t,:] + x[t,:] / rms(x[t,:]) * (w + offset); inv_rms[t] = 1 / sqrt(mean(x²) + eps), kept for the
  /// backward pass.  x, y [T, C], w [1, C]: compute type; added [T, C]: likewise, or empty; inv_rms: T floats.
  /// y may be x, and may be `added`.  Of each head: x, y, added [T, heads·D], w [1, D], inv_rms: T·heads floats,
  /// [t, head].  Zhang & Sennrich 2019, eq. 4.
  void rmsnorm_forward(Stream& stream, ConstView x, ConstView w, const RmsNorm& norm, ConstView added, View y,
                       float* inv_rms) {
    timed(stream, Phase::elementwise, "rmsnorm_forward",
          [&] { enqueue_rmsnorm_forward(stream, x, w, norm, added, y, inv_rms); });
  }
  /// dx = (or +=) dL/dx, dw += dL/dw of the above; that of `added` is dy.  dx may be dy.  dw: fp32, as wide as w, or
  /// empty where w is not trained.
  void rmsnorm_backward(Stream& stream, ConstView x, ConstView w, const RmsNorm& norm, const float* inv_rms,
                        ConstView dy, View dx, Write mode, View dw) {
    timed(stream, Phase::elementwise, "rmsnorm_backward",
          [&] { enqueue_rmsnorm_backward(stream, x, w, norm, inv_rms, dy, dx, mode, dw); });
  }

 private:
  virtual void enqueue_rmsnorm_forward(Stream&, ConstView x, ConstView w, const RmsNorm& norm, ConstView added, View y,
                                       float* inv_rms) = 0;
  virtual void enqueue_rmsnorm_backward(Stream&, ConstView x, ConstView w, const RmsNorm& norm, const float* inv_rms,
                                        ConstView dy, View dx, Write mode, View dw) = 0;
};

}  // namespace tessera
