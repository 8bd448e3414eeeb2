#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#include "device/dtype.h"

/// Elements in memory and floats in registers: fp32 and bf16 alike, one at a time or up to 16 bytes at once.
namespace tessera::cuda {

/// The elements of 16 bytes.
template <typename T>
constexpr int elements_of_16_bytes = 16 / static_cast<int>(sizeof(T));

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(bf16 value) { return __uint_as_float(static_cast<uint32_t>(value.bits) << 16); }

/// The bits of bf16(value), which is for the host alone.
__device__ inline uint32_t bf16_bits(float value) {
  const uint32_t u = __float_as_uint(value);
  const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
  return nan ? (u >> 16) | 0x40 : (u + 0x7fff + ((u >> 16) & 1)) >> 16;
}

/// Those of two values, the second one's above the first's.  GPUs convert them with one instruction, but it makes every
/// NaN the same.
__device__ inline uint32_t bf16_pair(float low, float high) {
#ifdef __CUDACC__
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  if (low == low && high == high) return pair;
#endif
  return bf16_bits(low) | bf16_bits(high) << 16;
}

__device__ inline void from_float(float value, float* to) { *to = value; }
__device__ inline void from_float(float value, bf16* to) { to->bits = static_cast<uint16_t>(bf16_bits(value)); }

/// N elements as they lie in memory: where a value is kept in registers for later, half the floats of bf16.
template <typename T, int N>
struct Packed {
  static constexpr int words = (N * static_cast<int>(sizeof(T)) + 3) / 4;
  uint32_t bits[words];
};

/// packed = p[0 … N-1].  Where N elements are 8 bytes, or 16 or a multiple, p is a multiple of 8 or 16.
template <typename T, int N>
__device__ void load(const T* p, Packed<T, N>& packed) {
  constexpr int words = Packed<T, N>::words;
  if constexpr (words % 4 == 0) {
#pragma unroll
    for (int w = 0; w < words; w += 4) {
      const uint4 four = reinterpret_cast<const uint4*>(p)[w / 4];
      packed.bits[w] = four.x, packed.bits[w + 1] = four.y, packed.bits[w + 2] = four.z, packed.bits[w + 3] = four.w;
    }
  } else if constexpr (words == 2) {
    const uint2 two = *reinterpret_cast<const uint2*>(p);
    packed.bits[0] = two.x, packed.bits[1] = two.y;
  } else {
    static_assert(N == 1);
    if constexpr (sizeof(T) == 4)
      packed.bits[0] = __float_as_uint(*p);
    else
      packed.bits[0] = p->bits;
  }
}

template <int N>
__device__ void unpack(const Packed<float, N>& packed, float (&values)[N]) {
#pragma unroll
  for (int j = 0; j < N; ++j) values[j] = __uint_as_float(packed.bits[j]);
}
template <int N>
__device__ void unpack(const Packed<bf16, N>& packed, float (&values)[N]) {
#pragma unroll
  for (int j = 0; j < N; ++j)
    values[j] = __uint_as_float(j % 2 == 0 ? packed.bits[j / 2] << 16 : packed.bits[j / 2] & 0xffff0000u);
}

/// values = p[0 … N-1].
template <typename T, int N>
__device__ void load(const T* p, float (&values)[N]) {
  Packed<T, N> packed;
  load(p, packed);
  unpack(packed, values);
}

/// 16 or 8 bytes at p, in one access.  Assigned, nvcc 13 takes them apart where code is unrolled, and a warp writes
/// each sector four times.
__device__ inline void store_words(void* p, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
#ifdef __CUDACC__
  asm volatile("st.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
#else
  *static_cast<uint4*>(p) = make_uint4(a, b, c, d);
#endif
}
__device__ inline void store_words(void* p, uint32_t a, uint32_t b) {
#ifdef __CUDACC__
  asm volatile("st.v2.b32 [%0], {%1, %2};" ::"l"(p), "r"(a), "r"(b) : "memory");
#else
  *static_cast<uint2*>(p) = make_uint2(a, b);
#endif
}

/// p[0 … N-1] = values, aligned as for load().
template <int N>
__device__ void store(const float (&values)[N], float* p) {
  const auto bits = [&](int j) { return __float_as_uint(values[j]); };
  if constexpr (N % 4 == 0) {
#pragma unroll
    for (int j = 0; j < N; j += 4) store_words(p + j, bits(j), bits(j + 1), bits(j + 2), bits(j + 3));
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j) p[j] = values[j];
  }
}
template <int N>
__device__ void store(const float (&values)[N], bf16* p) {
  const auto pair = [&](int j) { return bf16_pair(values[j], values[j + 1]); };
  if constexpr (N % 8 == 0) {
#pragma unroll
    for (int j = 0; j < N; j += 8) store_words(p + j, pair(j), pair(j + 2), pair(j + 4), pair(j + 6));
  } else if constexpr (N == 4) {
    store_words(p, pair(0), pair(2));
  } else {
#pragma unroll
    for (int j = 0; j < N; ++j) from_float(values[j], p + j);
  }
}

/// softcap · tanh(x / softcap).
__device__ inline float soft_capped(float x, float softcap) { return softcap * tanhf(x * (1 / softcap)); }
/// Its derivative by its value.
__device__ inline float soft_cap_slope(float capped, float softcap) {
  const float tanh = capped * (1 / softcap);
  return fmaxf(1 - tanh * tanh, 0.0f);
}

}  // namespace tessera::cuda
