#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace tessera {

/// store(begin, sums, n) over [0, count) in blocks that stay in the first cache: sums[i] = Σ_r parts[r][begin + i], in
/// the order of ranks, fp32.
template <typename Store>
void sum_in_rank_order(const std::vector<const float*>& parts, int64_t count, const Store& store) {
  constexpr int64_t block = 2048;
  alignas(64) std::array<float, block> sums;
  for (int64_t begin = 0; begin < count; begin += block) {
    const int64_t n = std::min(block, count - begin);
    std::copy_n(parts[0] + begin, n, sums.data());
    for (size_t r = 1; r < parts.size(); ++r) {
      const float* part = parts[r] + begin;
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) sums[static_cast<size_t>(i)] += part[i];
    }
    store(begin, sums.data(), n);
  }
}

}  // namespace tessera
