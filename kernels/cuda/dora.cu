#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rows.cuh"
#include "kernels/dora.h"

namespace tessera::cuda {
namespace {

template <typename T>
__device__ float value_at(const T* from) {
  float value[1];
  load(from, value);
  return value[0];
}

/// A block for each row; its threads share the row's columns, and the pairs of its r adapter elements.
template <typename T>
__global__ void __launch_bounds__(block_threads)
    row_scales_kernel(Rows<const T> w, Rows<const T> b, const T* magnitude, Rows<const float> wa, Rows<const float> aa,
                      float s, int64_t columns, int64_t r, float* scale, float* inv_norm) {
  __shared__ double partial[block_threads / 32];
  const int64_t row = blockIdx.x;
  const double factor = s;
  double sum = 0;
  for (int64_t i = threadIdx.x; i < columns; i += block_threads) {
    const double x = value_at(w[row] + i);
    sum += x * x;
  }
  for (int64_t k = threadIdx.x; k < r; k += block_threads) {
    const double bk = value_at(b[row] + k);
    sum += 2 * factor * bk * wa[row][k];
    for (int64_t l = 0; l < r; ++l) sum += factor * factor * bk * aa[k][l] * value_at(b[row] + l);
  }
  const double squares = block_sum(sum, partial);
  if (threadIdx.x != 0) return;
  inv_norm[row] = static_cast<float>(1 / sqrt(squares));
  scale[row] = value_at(magnitude + row) * inv_norm[row];
}

/// A thread for each element.
template <typename T>
__global__ void __launch_bounds__(block_threads)
    scale_columns_kernel(Rows<const T> x, const float* scale, const T* bias, Rows<const T> added, Rows<T> y,
                         int64_t columns, int64_t n) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * block_threads + threadIdx.x;
  if (i >= n) return;
  const int64_t t = i / columns, o = i % columns;
  float value[1] = {scale[o] * value_at(x[t] + o)};
  if (bias != nullptr) value[0] += value_at(bias + o);
  if (added.data != nullptr) value[0] += value_at(added[t] + o);
  store(value, y[t] + o);
}

/// A thread for each column, which adds its rows in their order.
template <typename T>
__global__ void __launch_bounds__(block_threads)
    magnitude_backward_kernel(Rows<const T> x, Rows<const T> dy, const float* inv_norm, float* d, int64_t rows,
                              int64_t columns) {
  const int64_t o = static_cast<int64_t>(blockIdx.x) * block_threads + threadIdx.x;
  if (o >= columns) return;
  float sum = 0;
  for (int64_t t = 0; t < rows; ++t) sum += value_at(x[t] + o) * value_at(dy[t] + o);
  d[o] += inv_norm[o] * sum;
}

class CudaDoraKernels final : public DoraKernels {
  void enqueue_dora_row_scales(Stream& stream, ConstView w, ConstView b, ConstView magnitude, ConstView wa,
                               ConstView aa, float s, float* scale, float* inv_norm) override {
    with_compute_type(w.dtype, [&](auto type) {
      using T = decltype(type);
      launch({"dora_row_scales", dim3(blocks(w.rows)), dim3(block_threads), 0, cuda_stream(stream)},
             row_scales_kernel<T>, rows_of<T>(w), rows_of<T>(b), magnitude.as<T>(), rows_of<float>(wa),
             rows_of<float>(aa), s, w.cols, b.cols, scale, inv_norm);
    });
  }

  void enqueue_dora_scale_columns(Stream& stream, ConstView x, const float* scale, ConstView bias, ConstView added,
                                  View y) override {
    const int64_t n = x.rows * x.cols;
    if (n == 0) return;
    const ConstView other = added ? added : ConstView(nullptr, x.dtype, 0, 0);
    with_compute_type(x.dtype, [&](auto type) {
      using T = decltype(type);
      launch(
          {"dora_scale_columns", dim3(blocks(ceil_div(n, block_threads))), dim3(block_threads), 0, cuda_stream(stream)},
          scale_columns_kernel<T>, rows_of<T>(x), scale, bias ? bias.as<T>() : nullptr, rows_of<T>(other),
          rows_of<T>(y), x.cols, n);
    });
  }

  void enqueue_dora_magnitude_backward(Stream& stream, ConstView x, ConstView dy, const float* inv_norm,
                                       View d) override {
    with_compute_type(x.dtype, [&](auto type) {
      using T = decltype(type);
      launch({"dora_magnitude_backward", dim3(blocks(ceil_div(x.cols, block_threads))), dim3(block_threads), 0,
              cuda_stream(stream)},
             magnitude_backward_kernel<T>, rows_of<T>(x), rows_of<T>(dy), inv_norm, d.as<float>(), x.rows, x.cols);
    });
  }
};

}  // namespace

std::unique_ptr<DoraKernels> make_dora() { return std::make_unique<CudaDoraKernels>(); }

}  // namespace tessera::cuda
