#include "kernels/dynamic_map.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace tessera {
namespace {

/// `count` numbers from 0.1 to 1 as torch.linspace makes them in fp32: from both ends.
std::vector<float> from_a_tenth_to_one(int count) {
  const float step = (1.0f - 0.1f) / static_cast<float>(count - 1);
  std::vector<float> numbers;
  for (int i = 0; i < count; ++i)
    numbers.push_back(i < count / 2 ? std::fma(step, static_cast<float>(i), 0.1f)
                                    : std::fma(-step, static_cast<float>(count - 1 - i), 1.0f));
  return numbers;
}

/// bitsandbytes.functional.create_dynamic_map with 7 exponent bits: for each power of ten twice as many fractions.
std::array<float, 256> make_dynamic_map(bool is_signed) {
  constexpr int exponents = 7;
  std::vector<float> numbers = {0, 1};
  for (int i = 0; i < exponents; ++i) {
    const auto scale = static_cast<float>(std::pow(10.0, i - (exponents - 1)));
    const std::vector<float> ends = from_a_tenth_to_one((1 << (is_signed ? i : i + 1)) + 1);
    for (size_t k = 0; k + 1 < ends.size(); ++k) {
      const float number = scale * ((ends[k] + ends[k + 1]) / 2.0f);
      numbers.push_back(number);
      if (is_signed) numbers.push_back(-number);
    }
  }
  std::array<float, 256> map{};  // as many zeros as numbers are missing
  std::copy(numbers.begin(), numbers.end(), map.begin());
  std::sort(map.begin(), map.end());
  return map;
}

}  // namespace

const std::array<float, 256>& dynamic_map(bool is_signed) {
  static const std::array<float, 256> with_sign = make_dynamic_map(true), without = make_dynamic_map(false);
  return is_signed ? with_sign : without;
}

NearestCode::NearestCode(bool is_signed) : map_(dynamic_map(is_signed)) {
  for (uint32_t upper = 0; upper < below_.size(); ++upper) {
    const bool negative = upper >= below_.size() / 2;
    const auto least = std::bit_cast<float>(upper << 16 | (negative ? 0xffffu : 0u));
    const auto count = std::lower_bound(map_.begin(), map_.end(), least) - map_.begin();
    below_[upper] = static_cast<uint8_t>(std::min<std::ptrdiff_t>(count, 255));
  }
}

const NearestCode& nearest_code(bool is_signed) {
  static const NearestCode with_sign(true), without(false);
  return is_signed ? with_sign : without;
}

}  // namespace tessera
