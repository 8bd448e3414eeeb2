#pragma once
#include "kernels/subject.h"

namespace tessera {

struct AdamWStep {
  float learning_rate;
  double beta1, beta2;  ///< in double: 1 - 0.999f would be off by 1e-5
  float epsilon, weight_decay;
  float bias_correction1, bias_correction2;  ///< 1 - beta^k, k the update's number from 1
  float gradient_scale;                      ///< the clipping factor, multiplied into each gradient as it is read
};

/// What goes through the flat shard: n elements, contiguous.  Their time is the optimizer's, a phase that its caller
/// begins and ends.
class OptimizerKernels : public KernelSubject {
 public:
  /// *sum += Σ x² in double.
  void squared_norm(Stream& stream, const float* x, int64_t n, double* sum) { enqueue_squared_norm(stream, x, n, sum); }
  /// torch.optim.AdamW (Loshchilov & Hutter 2019): decay, moments, update; then `weights` (compute type; n elements;
  /// may be empty, or the same memory as master when fp32) = master.
  void adamw(Stream& stream, const AdamWStep& step, int64_t n, float* master, float* exp_avg, float* exp_avg_sq,
             const float* gradient, View weights) {
    enqueue_adamw(stream, step, n, master, exp_avg, exp_avg_sq, gradient, weights);
  }

 private:
  virtual void enqueue_squared_norm(Stream&, const float* x, int64_t n, double* sum) = 0;
  virtual void enqueue_adamw(Stream&, const AdamWStep& step, int64_t n, float* master, float* exp_avg,
                             float* exp_avg_sq, const float* gradient, View weights) = 0;
};

}  // namespace tessera
