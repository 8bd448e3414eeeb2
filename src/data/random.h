#pragma once
#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/splitmix.h"

namespace tessera {

/// Random numbers that are the same on every platform and with every compiler, which std::shuffle and the standard
/// distributions are not.  xoshiro256** seeded by splitmix64 (Blackman & Vigna, "Scrambled linear pseudorandom number
/// generators", 2018).  `stream` separates uses of one seed from each other.
class Random {
 public:
  Random(int64_t seed, int64_t stream) {
    uint64_t mixed = static_cast<uint64_t>(seed);
    mixed = next_of(mixed) ^ static_cast<uint64_t>(stream);
    for (uint64_t& word : state_) word = next_of(mixed);
  }

  uint64_t next() {
    const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  /// Uniform over [0, bound): biased numbers are rejected and drawn again.
  uint64_t below(uint64_t bound) {
    const uint64_t unfair = (0 - bound) % bound;  // 2^64 mod bound
    uint64_t drawn = next();
    while (drawn < unfair) drawn = next();
    return drawn % bound;
  }

  /// Fisher & Yates, from the end.
  template <typename T>
  void shuffle(std::vector<T>& values) {
    for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  static uint64_t next_of(uint64_t& state) {
    const uint64_t drawn = splitmix64(state);
    state += splitmix64_increment;
    return drawn;
  }

  uint64_t state_[4];
};

}  // namespace tessera
