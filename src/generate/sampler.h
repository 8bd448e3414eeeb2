#pragma once
#include <cstdint>
#include <random>

namespace tessera {

/// Chooses the next token from logits: the best one at temperature 0, else a draw from softmax(logits / temperature)
/// cut to the smallest set whose probability reaches top_p (Holtzman et al. 2020).
class Sampler {
 public:
  Sampler(double temperature, double top_p, int64_t seed)
      : temperature_(temperature), top_p_(top_p), random_(static_cast<uint64_t>(seed)) {}
  int32_t choose(const float* logits, int64_t V);

 private:
  double temperature_, top_p_;
  std::mt19937_64 random_;
};

}  // namespace tessera
