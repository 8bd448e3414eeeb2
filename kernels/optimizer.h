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

constexpr int64_t state_block = 256;  ///< elements of an 8-bit state that share one scale

/// An optimizer's state in 8 bits: element i is dynamic_map()[codes[i]] · absmax[i / state_block].  n codes, and as
/// many absmax as blocks, the last of which may be shorter.
struct BlockState {
  uint8_t* codes;
  float* absmax;
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
  /// adamw() with both moments in 8 bits, exp_avg by the signed map, exp_avg_sq by the unsigned one (Dettmers et al.
  /// 2022).  The update uses the new moments before they are stored again: each element as the nearest number of the
  /// map (the lower of two that are as near) in units of its block's largest.  Element 0 begins a block.
  void adamw_8bit(Stream& stream, const AdamWStep& step, int64_t n, float* master, BlockState exp_avg,
                  BlockState exp_avg_sq, const float* gradient, View weights) {
    enqueue_adamw_8bit(stream, step, n, master, exp_avg, exp_avg_sq, gradient, weights);
  }

 private:
  virtual void enqueue_squared_norm(Stream&, const float* x, int64_t n, double* sum) = 0;
  virtual void enqueue_adamw(Stream&, const AdamWStep& step, int64_t n, float* master, float* exp_avg,
                             float* exp_avg_sq, const float* gradient, View weights) = 0;
  virtual void enqueue_adamw_8bit(Stream&, const AdamWStep& step, int64_t n, float* master, BlockState exp_avg,
                                  BlockState exp_avg_sq, const float* gradient, View weights) = 0;
};

}  // namespace tessera
