#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace tessera {

/// The 256 numbers that 8-bit states stand for, in ascending order: bitsandbytes' dynamic map of that sign.  Its
/// numbers lie densest, in relation to their size, between 1e-7 and 1 (Dettmers et al. 2022).
const std::array<float, 256>& dynamic_map(bool is_signed);

/// The code of the map's nearest number to `x`, of two that are as near the lower.  A table says for the upper half of
/// a float's bits how many of the map's numbers lie below all floats that begin so; at most one lies among them.
class NearestCode {
 public:
  explicit NearestCode(bool is_signed);

  uint8_t operator()(float x) const {
    int above = below_[std::bit_cast<uint32_t>(x) >> 16];
    above = std::clamp(above + static_cast<int>(map_[static_cast<size_t>(above)] < x), 1, 255);
    const float lower = map_[static_cast<size_t>(above - 1)], upper = map_[static_cast<size_t>(above)];
    return static_cast<uint8_t>(above - static_cast<int>(x - lower <= upper - x));  // no branch: half would go wrong
  }

 private:
  std::array<float, 256> map_;
  std::array<uint8_t, 1 << 16> below_{};
};
const NearestCode& nearest_code(bool is_signed);

}  // namespace tessera
