#pragma once
#include <array>
#include <cstdint>

#include "kernels/subject.h"

namespace tessera {

constexpr int64_t nf4_block = 64;      ///< elements of the flattened matrix that share an absmax
constexpr int64_t absmax_block = 256;  ///< absmax in 8 bits that share a scale

/// A matrix in NF4 (Dettmers et al. 2023) as bitsandbytes keeps it: element i is nf4_map()[code] · absmax[i / 64], two
/// codes in a byte, the first in its upper half.  With `absmax_codes` the absmax are in 8 bits (double quantisation):
/// dynamic_map(signed)[absmax_codes[k]] · absmax[k / 256] + *mean.
struct Nf4Matrix {
  const uint8_t* codes = nullptr;         ///< [⌈n / 2⌉]
  const float* absmax = nullptr;          ///< [⌈n / 64⌉], or of blocks of absmax
  const uint8_t* absmax_codes = nullptr;  ///< [⌈n / 64⌉], or null
  const float* mean = nullptr;            ///< of all absmax, or null
};

/// The 16 numbers of NF4, in ascending order.
const std::array<float, 16>& nf4_map();

/// A matrix in 8 bits: element (row, column) is code · absmax[row] / 127.
struct Int8Matrix {
  const int8_t* codes = nullptr;  ///< [rows, cols]
  const float* absmax = nullptr;  ///< [rows]
};

/// What turns quantised weights into numbers of the compute type.
class QuantizationKernels : public KernelSubject {
 public:
  /// to = the matrix, each element rounded once.  to: [rows, cols] contiguous, compute type.
  void dequantize_nf4(Stream& stream, const Nf4Matrix& from, View to) {
    timed(stream, Phase::elementwise, "dequantize_nf4", [&] { enqueue_dequantize_nf4(stream, from, to); });
  }
  void dequantize_int8(Stream& stream, const Int8Matrix& from, View to) {
    timed(stream, Phase::elementwise, "dequantize_int8", [&] { enqueue_dequantize_int8(stream, from, to); });
  }

 private:
  virtual void enqueue_dequantize_nf4(Stream&, const Nf4Matrix& from, View to) = 0;
  virtual void enqueue_dequantize_int8(Stream&, const Int8Matrix& from, View to) = 0;
};

/// Of a block of n ≤ 64 elements: returns its absmax, and writes ⌈n / 2⌉ bytes of codes.  As bitsandbytes'
/// quantize_4bit: a whole block is multiplied by 1 / absmax, a shorter one divided by it; of two numbers that are as
/// near, the lower.
float quantize_nf4_block(const float* x, int64_t n, uint8_t* codes);

/// Codes of n elements of a row with that absmax: round(127 · x / absmax), of two that are as near the even one.
void quantize_int8(const float* x, int64_t n, float absmax, int8_t* codes);

/// The second level: *mean of n absmax, summed in double, and of each less the mean a code of the nearest number of the
/// signed dynamic map in units of its block's largest.  codes [n], scales [⌈n / 256⌉].
void quantize_absmax(const float* absmax, int64_t n, uint8_t* codes, float* scales, float* mean);

}  // namespace tessera
