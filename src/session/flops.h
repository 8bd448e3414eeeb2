#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/kernels.h"
#include "model/spec.h"

namespace tessera {

/// Floating-point operations of one update's forward and backward passes, without recomputation: 6 a multiplied weight
/// and token, and 6·L·H·D·n² of causal attention for a document of n tokens (docs/benchmarks.md).
class FlopCounter {
 public:
  explicit FlopCounter(const ModelSpec& spec);
  double of_document(int64_t tokens) const;

 private:
  double per_token_;
  struct Attention {
    int64_t window;
    double width;  // H·D
  };
  std::vector<Attention> layers_;
};

/// FLOP/s that this rank's matrix products can reach: the data sheet's of a GPU; else measured, as the best of several
/// products that are large enough to hide launch overhead. Takes about 20 ms, and memory temporarily, so a job measures
/// before it reserves its own.
double gemm_peak(Device& device, Kernels& kernels, DType dtype);

/// How it measures: FLOP/s, where seconds(size) multiplies square matrices of that size once and says how long it took.
double best_product_rate(const std::function<double(int64_t size)>& seconds);

}  // namespace tessera
