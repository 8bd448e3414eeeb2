#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#include "device/dtype.h"

/// Elements in memory and floats in registers: fp32 and bf16 alike, one at a time or 16 bytes at once.
namespace tessera::cuda {

/// The elements of 16 bytes.
template <typename T>
constexpr int elements_of_16_bytes = 16 / static_cast<int>(sizeof(T));

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(bf16 value) { return __uint_as_float(static_cast<uint32_t>(value.bits) << 16); }

/// The bits of bf16(value), which is for the host alone.  Not cvt.rn.bf16: that makes every NaN the same.
__device__ inline uint32_t bf16_bits(float value) {
  const uint32_t u = __float_as_uint(value);
  const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
  return nan ? (u >> 16) | 0x40 : (u + 0x7fff + ((u >> 16) & 1)) >> 16;
}

__device__ inline void from_float(float value, float* to) { *to = value; }
__device__ inline void from_float(float value, bf16* to) { to->bits = static_cast<uint16_t>(bf16_bits(value)); }

/// values = p[0 … N-1].  Where N elements are 16 bytes or a multiple, p is a multiple of 16.
template <int N>
__device__ void load(const float* p, float (&values)[N]) {
  if constexpr (N % 4 == 0) {
#pragma unroll
    for (int j = 0; j < N; j += 4) {
      const float4 four = *reinterpret_cast<const float4*>(p + j);
      values[j] = four.x, values[j + 1] = four.y, values[j + 2] = four.z, values[j + 3] = four.w;
    }
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j) values[j] = p[j];
  }
}
template <int N>
__device__ void load(const bf16* p, float (&values)[N]) {
  if constexpr (N % 8 == 0) {
#pragma unroll
    for (int j = 0; j < N; j += 8) {
      const uint4 eight = *reinterpret_cast<const uint4*>(p + j);
      const uint32_t pairs[4] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
      for (int pair = 0; pair < 4; ++pair) {
        values[j + 2 * pair] = __uint_as_float(pairs[pair] << 16);
        values[j + 2 * pair + 1] = __uint_as_float(pairs[pair] & 0xffff0000u);
      }
    }
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j) values[j] = to_float(p[j]);
  }
}

/// p[0 … N-1] = values, aligned as for load().
template <int N>
__device__ void store(const float (&values)[N], float* p) {
  if constexpr (N % 4 == 0) {
#pragma unroll
    for (int j = 0; j < N; j += 4)
      *reinterpret_cast<float4*>(p + j) = make_float4(values[j], values[j + 1], values[j + 2], values[j + 3]);
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j) p[j] = values[j];
  }
}
template <int N>
__device__ void store(const float (&values)[N], bf16* p) {
  const auto pair = [&](int j) { return bf16_bits(values[j]) | bf16_bits(values[j + 1]) << 16; };
  if constexpr (N % 8 == 0) {
#pragma unroll
    for (int j = 0; j < N; j += 8)
      *reinterpret_cast<uint4*>(p + j) = make_uint4(pair(j), pair(j + 2), pair(j + 4), pair(j + 6));
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j) from_float(values[j], p + j);
  }
}

}  // namespace tessera::cuda
