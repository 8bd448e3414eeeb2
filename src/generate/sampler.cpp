#include "generate/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace tessera {

int32_t Sampler::choose(const float* logits, int64_t V) {
  const float* best = std::max_element(logits, logits + V);
  if (temperature_ == 0) return static_cast<int32_t>(best - logits);

  std::vector<double> weight(static_cast<size_t>(V));
  for (size_t i = 0; i < weight.size(); ++i) weight[i] = std::exp((logits[i] - *best) / temperature_);
  const double total = std::accumulate(weight.begin(), weight.end(), 0.0);
  std::vector<int32_t> order(weight.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return weight[static_cast<size_t>(a)] > weight[static_cast<size_t>(b)];
  });
  double kept = 0;
  size_t count = 0;
  while (count < order.size() && kept < top_p_ * total) kept += weight[static_cast<size_t>(order[count++])];

  double left = static_cast<double>(random_() >> 11) * 0x1p-53 * kept;
  for (size_t i = 0; i < count; ++i) {
    left -= weight[static_cast<size_t>(order[i])];
    if (left < 0) return order[i];
  }
  return order[count - 1];
}

}  // namespace tessera
