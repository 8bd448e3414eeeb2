#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rows.cuh"

namespace tessera::cuda {
namespace {

__device__ float sigmoid(float x) { return 1 / (1 + expf(-x)); }

template <typename T, int N>
__global__ void __launch_bounds__(block_threads)
    forward_kernel(Rows<const T> gate_up, Rows<T> y, int64_t rows, int64_t F) {
  const int64_t t = row_of_thread();
  if (t >= rows) return;
  const T* const x = gate_up[t];
  T* const to = y[t];
  for_pieces<N>(F, [&](int64_t i) {
    float gate[N], up[N], product[N];
    load(x + i, gate);
    load(x + F + i, up);
    for (int j = 0; j < N; ++j) product[j] = gate[j] * sigmoid(gate[j]) * up[j];
    store(product, to + i);
  });
}

/// With s = sigmoid(gate): d gate = dy·up·s (1 + gate (1 - s)), d up = dy·gate·s; y as forward_kernel makes it.
template <typename T, int N>
__global__ void __launch_bounds__(block_threads)
    backward_kernel(Rows<const T> gate_up, Rows<const T> dy, Rows<T> dgate_up, Rows<T> y, int64_t rows, int64_t F) {
  const int64_t t = row_of_thread();
  if (t >= rows) return;
  const T *const x = gate_up[t], *const dy_row = dy[t];
  T *const dx = dgate_up[t], *const product = y[t];
  for_pieces<N>(F, [&](int64_t i) {
    float gate[N], up[N], dyi[N], dgate[N], dup[N], yi[N];
    load(x + i, gate);
    load(x + F + i, up);
    load(dy_row + i, dyi);
    for (int j = 0; j < N; ++j) {
      const float s = sigmoid(gate[j]);
      dgate[j] = dyi[j] * up[j] * s * (1 + gate[j] * (1 - s));
      const float gate_s = gate[j] * s;
      dup[j] = dyi[j] * gate_s;
      yi[j] = gate_s * up[j];
    }
    store(dgate, dx + i);
    store(dup, dx + F + i);
    store(yi, product + i);
  });
}

class CudaActivationKernels final : public ActivationKernels {
  void enqueue_swiglu_forward(Stream& stream, ConstView gate_up, View y) override {
    with_compute_type(y.dtype, [&](auto type) {
      using T = decltype(type);
      with_piece<T>(y.cols, {gate_up, y}, [&](auto piece) {
        constexpr int N = decltype(piece)::value;
        const dim3 block = row_block(y.cols / N);
        launch({"swiglu_forward", row_grid(y.rows, block), block, 0, cuda_stream(stream)}, forward_kernel<T, N>,
               rows_of<T>(gate_up), rows_of<T>(y), y.rows, y.cols);
      });
    });
  }
  void enqueue_swiglu_backward(Stream& stream, ConstView gate_up, ConstView dy, View dgate_up, View y) override {
    with_compute_type(dy.dtype, [&](auto type) {
      using T = decltype(type);
      with_piece<T>(dy.cols, {gate_up, dy, dgate_up, y}, [&](auto piece) {
        constexpr int N = decltype(piece)::value;
        const dim3 block = row_block(dy.cols / N);
        launch({"swiglu_backward", row_grid(dy.rows, block), block, 0, cuda_stream(stream)}, backward_kernel<T, N>,
               rows_of<T>(gate_up), rows_of<T>(dy), rows_of<T>(dgate_up), rows_of<T>(y), dy.rows, dy.cols);
      });
    });
  }
};

}  // namespace

std::unique_ptr<ActivationKernels> make_activation() { return std::make_unique<CudaActivationKernels>(); }

}  // namespace tessera::cuda
