#pragma once
#include <cstdint>

namespace tessera {

/// One output of splitmix64 (Steele et al. 2014) from the state before it, which moves on by the increment.
constexpr uint64_t splitmix64_increment = 0x9e3779b97f4a7c15;
constexpr uint64_t splitmix64(uint64_t state) {
  uint64_t z = state + splitmix64_increment;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace tessera
