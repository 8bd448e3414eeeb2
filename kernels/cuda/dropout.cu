#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rows.cuh"
#include "kernels/dropout.h"

namespace tessera::cuda {
namespace {

struct Words {
  uint32_t x[4];
};

/// Philox4x32-10.
__device__ Words philox(Words counter, uint64_t key) {
  uint32_t x0 = counter.x[0], x1 = counter.x[1], x2 = counter.x[2], x3 = counter.x[3];
  auto key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * x0, b = uint64_t{0xCD9E8D57} * x2;
    x0 = static_cast<uint32_t>(b >> 32) ^ x1 ^ key0;
    x2 = static_cast<uint32_t>(a >> 32) ^ x3 ^ key1;
    x1 = static_cast<uint32_t>(b);
    x3 = static_cast<uint32_t>(a);
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return {{x0, x1, x2, x3}};
}

/// A thread for each block of a token, which decides four columns; neighbours read neighbouring columns.
template <typename T>
__global__ void __launch_bounds__(block_threads)
    dropout_kernel(Dropout dropout, uint32_t threshold, float scale, Rows<const T> x, Rows<T> y, bool adds,
                   int64_t cols, int64_t blocks_of_row, int64_t n) {
  constexpr int64_t group = DropoutKernels::group, blocks = group / 4;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * block_threads + threadIdx.x;
  if (i >= n) return;
  const int64_t t = i / blocks_of_row, block = i % blocks_of_row;
  const Words words = philox({{static_cast<uint32_t>(block), static_cast<uint32_t>(dropout.positions[t]),
                               static_cast<uint32_t>(dropout.samples[t]), static_cast<uint32_t>(dropout.step)}},
                             dropout.key);
  for (int64_t k = 0; k < 4; ++k) {
    const int64_t column = block / blocks * group + k * blocks + block % blocks;
    if (column >= cols) return;
    float value[1], before[1] = {0};
    load(x[t] + column, value);
    if (adds) load(y[t] + column, before);
    value[0] = fmaf(value[0], words.x[k] >= threshold ? scale : 0.0f, before[0]);
    store(value, y[t] + column);
  }
}

class CudaDropoutKernels final : public DropoutKernels {
  void enqueue_dropout(Stream& stream, const Dropout& dropout, ConstView x, View y, Write mode) override {
    const int64_t blocks_of_row = ceil_div(y.cols, group) * (group / 4), n = y.rows * blocks_of_row;
    if (n == 0) return;
    with_compute_type(y.dtype, [&](auto type) {
      using T = decltype(type);
      launch({"dropout", dim3(blocks(ceil_div(n, block_threads))), dim3(block_threads), 0, cuda_stream(stream)},
             dropout_kernel<T>, dropout, dropout_threshold(dropout.rate), 1 / (1 - dropout.rate), rows_of<T>(x),
             rows_of<T>(y), mode == Write::accumulate, y.cols, blocks_of_row, n);
    });
  }
};

}  // namespace

std::unique_ptr<DropoutKernels> make_dropout() { return std::make_unique<CudaDropoutKernels>(); }

}  // namespace tessera::cuda
