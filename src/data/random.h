#pragma once
#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

namespace tessera {

/// Random numbers that are the same on every platform and with every compiler, which std::shuffle and the standard
/// distributions are not.  xoshiro256** seeded by splitmix64 (Blackman & Vigna, "Scrambled linear pseudorandom number
/// generators", 2018).  `stream` separates uses of one seed from each other.
class Random {
 public:
  Random(int64_t seed, int64_t stream) {
    uint64_t mixed = static_cast<uint64_t>(seed);
    mixed = splitmix(mixed) ^ static_cast<uint64_t>(stream);
    for (uint64_t& word : state_) word = splitmix(mixed);
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
  static uint64_t splitmix(uint64_t& state) {
    uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  uint64_t state_[4];
};

}  // namespace tessera
