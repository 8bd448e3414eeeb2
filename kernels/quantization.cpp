#include "kernels/quantization.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/dynamic_map.h"

namespace tessera {

const std::array<float, 16>& nf4_map() {
  // bitsandbytes' table (its get_4bit_type): quantiles of the normal distribution.
  static constexpr std::array<float, 16> map = {-1.0f,           -0x1.647362p-1f, -0x1.0cd66p-1f,  -0x1.94654p-2f,
                                                -0x1.23449ap-2f, -0x1.7a6a7ep-3f, -0x1.74f0e2p-4f, 0.0f,
                                                0x1.45f5fep-4f,  0x1.4995c6p-3f,  0x1.f809bap-3f,  0x1.5a0674p-2f,
                                                0x1.c3497p-2f,   0x1.200f56p-1f,  0x1.722766p-1f,  1.0f};
  return map;
}

namespace {

/// How many midpoints lie below x.
uint8_t nearest_nf4(float x) {
  static const std::array<float, 15> midpoints = [] {
    std::array<float, 15> made{};
    for (size_t i = 0; i < made.size(); ++i) made[i] = (nf4_map()[i] + nf4_map()[i + 1]) / 2;
    return made;
  }();
  int code = 0;
  for (const float midpoint : midpoints) code += static_cast<int>(midpoint < x);
  return static_cast<uint8_t>(code);
}

float largest(const float* x, int64_t n) {
  float found = 0;
  for (int64_t i = 0; i < n; ++i) found = std::max(found, std::abs(x[i]));
  return found;
}

}  // namespace

float quantize_nf4_block(const float* x, int64_t n, uint8_t* codes) {
  constexpr float least = 1e-38f;
  const float absmax = largest(x, n), unit = std::max(absmax, least), factor = 1.0f / unit;
  const bool whole = n == nf4_block;
  const auto code = [&](int64_t i) -> unsigned {
    const float scaled = i >= n ? 0.0f : whole ? x[i] * factor : x[i] / unit;
    return nearest_nf4(std::clamp(scaled, -1.0f, 1.0f));
  };
  for (int64_t i = 0; i < n; i += 2) codes[i / 2] = static_cast<uint8_t>(code(i) << 4 | code(i + 1));
  return whole ? absmax : unit;
}

void quantize_int8(const float* x, int64_t n, float absmax, int8_t* codes) {
  for (int64_t i = 0; i < n; ++i)
    codes[i] = absmax > 0 ? static_cast<int8_t>(std::nearbyint(127 * x[i] / absmax)) : int8_t{0};
}

void quantize_absmax(const float* absmax, int64_t n, uint8_t* codes, float* scales, float* mean) {
  *mean = static_cast<float>(std::accumulate(absmax, absmax + n, 0.0) / static_cast<double>(n));
  std::array<float, absmax_block> rest{};
  for (int64_t begin = 0; begin < n; begin += absmax_block) {
    const int64_t count = std::min(absmax_block, n - begin);
    for (int64_t i = 0; i < count; ++i) rest[static_cast<size_t>(i)] = absmax[begin + i] - *mean;
    const float scale = largest(rest.data(), count), unit = scale > 0 ? scale : 1.0f;
    for (int64_t i = 0; i < count; ++i) codes[begin + i] = nearest_code(true)(rest[static_cast<size_t>(i)] / unit);
    scales[begin / absmax_block] = scale;
  }
}

}  // namespace tessera
