#pragma once
#include <cstdint>
#include <vector>

#include "kernels/kernels.h"
#include "model/config.h"

namespace tessera {

/// Floating-point operations of one update's forward and backward passes, without recomputation: 6 a multiplied weight
/// and token, and 6·L·H·D·n² of causal attention for a document of n tokens (docs/benchmarks.md).
class FlopCounter {
 public:
  explicit FlopCounter(const ModelConfig& config);
  double of_document(int64_t tokens) const;

 private:
  double per_token_;
  std::vector<int64_t> window_;
  double attention_width_;
};

/// FLOP/s that this rank's matrix products could reach: the data sheet's of a GPU; measured on a CPU, for some 20 ms
/// with a shape that fits the caches.
double gemm_peak(Device& device, Kernels& kernels, DType dtype);

}  // namespace tessera
