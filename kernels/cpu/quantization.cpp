#include "kernels/quantization.h"

#include <algorithm>

#include "device/parallel.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/dynamic_map.h"

namespace tessera {
namespace {

float absmax_of(const Nf4Matrix& m, int64_t block) {
  if (m.absmax_codes == nullptr) return m.absmax[block];
  return dynamic_map(true)[m.absmax_codes[block]] * m.absmax[block / absmax_block] + *m.mean;
}

/// Blocks [begin, end).  The 16 numbers that a block can have are made once.
template <typename T>
void dequantize_blocks(const Nf4Matrix& from, T* to, int64_t n, int64_t begin, int64_t end) {
  for (int64_t block = begin; block < end; ++block) {
    const float absmax = absmax_of(from, block);
    T numbers[16];
    for (size_t code = 0; code < 16; ++code) numbers[code] = static_cast<T>(nf4_map()[code] * absmax);
    const int64_t first = block * nf4_block, last = std::min(first + nf4_block, n);
    for (int64_t i = first; i < last; ++i)
      to[i] = numbers[i % 2 == 0 ? from.codes[i / 2] >> 4 : from.codes[i / 2] & 15];
  }
}

template <typename T>
void dequantize_rows(const Int8Matrix& from, const View& to, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const int8_t* const codes = from.codes + row * to.cols;
    T* const out = to.as<T>() + row * to.cols;
    for (int64_t i = 0; i < to.cols; ++i)
      out[i] = static_cast<T>(static_cast<float>(codes[i]) * from.absmax[row] / 127.0f);
  }
}

class CpuQuantizationKernels final : public QuantizationKernels {
 public:
  explicit CpuQuantizationKernels(int threads) : threads_(threads) {}

 private:
  void enqueue_dequantize_nf4(Stream& stream, const Nf4Matrix& from, View to) override {
    stream.enqueue([=, threads = threads_] {
      const int64_t n = to.size();
      with_compute_type(to.dtype, [&](auto type) {
        using T = decltype(type);
        parallel_for(threads, (n + nf4_block - 1) / nf4_block, 256,
                     [&](int64_t begin, int64_t end) { dequantize_blocks(from, to.as<T>(), n, begin, end); });
      });
    });
  }

  void enqueue_dequantize_int8(Stream& stream, const Int8Matrix& from, View to) override {
    stream.enqueue([=, threads = threads_] {
      with_compute_type(to.dtype, [&](auto type) {
        using T = decltype(type);
        parallel_for(threads, to.rows, 16,
                     [&](int64_t begin, int64_t end) { dequantize_rows<T>(from, to, begin, end); });
      });
    });
  }

  const int threads_;
};

}  // namespace

std::unique_ptr<QuantizationKernels> make_cpu_quantization(int threads) {
  return std::make_unique<CpuQuantizationKernels>(threads);
}

}  // namespace tessera
