#include <algorithm>

#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rows.cuh"
#include "kernels/dynamic_map.h"
#include "kernels/quantization.h"

namespace tessera::cuda {
namespace {

/// The numbers of codes: an argument of the kernel.
struct Tables {
  float nf4[16];
  float absmax[256];
};
Tables tables() {
  Tables made;
  std::copy(nf4_map().begin(), nf4_map().end(), made.nf4);
  std::copy(dynamic_map(true).begin(), dynamic_map(true).end(), made.absmax);
  return made;
}

/// A thread for each pair of elements.
template <typename T>
__global__ void __launch_bounds__(block_threads)
    dequantize_nf4_kernel(Tables tables, Nf4Matrix from, T* to, int64_t n) {
  const int64_t byte = static_cast<int64_t>(blockIdx.x) * block_threads + threadIdx.x, i = 2 * byte;
  if (i >= n) return;
  const int64_t block = i / nf4_block;
  float absmax = from.absmax[from.absmax_codes != nullptr ? block / absmax_block : block];
  if (from.absmax_codes != nullptr) absmax = tables.absmax[from.absmax_codes[block]] * absmax + *from.mean;
  const unsigned codes = from.codes[byte];
  const float first[1] = {tables.nf4[codes >> 4] * absmax}, second[1] = {tables.nf4[codes & 15] * absmax};
  store(first, to + i);
  if (i + 1 < n) store(second, to + i + 1);
}

/// A thread for each element.
template <typename T>
__global__ void __launch_bounds__(block_threads)
    dequantize_int8_kernel(Int8Matrix from, T* to, int64_t cols, int64_t n) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * block_threads + threadIdx.x;
  if (i >= n) return;
  const float value[1] = {static_cast<float>(from.codes[i]) * from.absmax[i / cols] / 127.0f};
  store(value, to + i);
}

class CudaQuantizationKernels final : public QuantizationKernels {
  void enqueue_dequantize_nf4(Stream& stream, const Nf4Matrix& from, View to) override {
    const int64_t n = to.size();
    if (n == 0) return;
    with_compute_type(to.dtype, [&](auto type) {
      using T = decltype(type);
      launch({"dequantize_nf4", dim3(blocks(ceil_div(ceil_div(n, 2), block_threads))), dim3(block_threads), 0,
              cuda_stream(stream)},
             dequantize_nf4_kernel<T>, tables(), from, to.as<T>(), n);
    });
  }
  void enqueue_dequantize_int8(Stream& stream, const Int8Matrix& from, View to) override {
    const int64_t n = to.size();
    if (n == 0) return;
    with_compute_type(to.dtype, [&](auto type) {
      using T = decltype(type);
      launch({"dequantize_int8", dim3(blocks(ceil_div(n, block_threads))), dim3(block_threads), 0, cuda_stream(stream)},
             dequantize_int8_kernel<T>, from, to.as<T>(), to.cols, n);
    });
  }
};

}  // namespace

std::unique_ptr<QuantizationKernels> make_quantization() { return std::make_unique<CudaQuantizationKernels>(); }

}  // namespace tessera::cuda
