#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rows.cuh"
#include "kernels/gelu.h"

namespace tessera::cuda {
namespace {

/// What the activation of a gate x is made of: x·value, with the slope value·(1 + x·rest).
struct Gate {
  float value, rest;
};

struct Silu {
  static __device__ Gate of(float x) {
    const float s = 1 / (1 + expf(-x));
    return {s, 1 - s};
  }
};

/// sigmoid(u) of gelu.h, and (1 - sigmoid(u))·du/dx.  What is not to be rounded twice is an fmaf().
struct GeluTanh {
  static __device__ Gate of(float gate) {
    constexpr float linear = gelu_linear, cubic = gelu_cubic;
    const float x = fminf(fmaxf(gate, -gelu_saturates), gelu_saturates);
    const float square = x * x, square_rest = fmaf(x, x, -square);
    // linear + cubic·x² and what rounding it lost (Knuth's sum of two, one of them a product).
    const float factor = fmaf(cubic, square, linear), product = factor - linear;
    float lost = fmaf(cubic, square, -product) + (linear - (factor - product));
    lost += fmaf(cubic, square_rest, fmaf(gelu_cubic_rest, square, gelu_linear_rest));
    const float u = x * factor, u_rest = fmaf(x, lost, fmaf(x, factor, -u));
    const float near = expf(-fabsf(u)), e = fmaf(near, u < 0 ? u_rest : -u_rest, near);  // e^-|u + u_rest|
    const float larger = 1 / (1 + e), smaller = e * larger, slope = 3 * cubic * square + linear;
    return u < 0 ? Gate{smaller, larger * slope} : Gate{larger, smaller * slope};
  }
};

template <typename Function, typename T, int N>
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
    for (int j = 0; j < N; ++j) product[j] = gate[j] * Function::of(gate[j]).value * up[j];
    store(product, to + i);
  });
}

/// With s the gate's: d gate = dy·up·s.value (1 + gate·s.rest), d up = dy·gate·s.value; y as forward_kernel makes it.
template <typename Function, typename T, int N>
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
      const Gate s = Function::of(gate[j]);
      dgate[j] = dyi[j] * up[j] * s.value * (1 + gate[j] * s.rest);
      const float gate_s = gate[j] * s.value;
      dup[j] = dyi[j] * gate_s;
      yi[j] = gate_s * up[j];
    }
    store(dgate, dx + i);
    store(dup, dx + F + i);
    store(yi, product + i);
  });
}

/// f(Silu()) or f(GeluTanh()).
template <typename F>
void with_activation(Activation activation, const F& f) {
  if (activation == Activation::silu)
    f(Silu());
  else
    f(GeluTanh());
}

class CudaActivationKernels final : public ActivationKernels {
  void enqueue_gated_forward(Stream& stream, Activation activation, ConstView gate_up, View y) override {
    with_activation(activation, [&](auto function) {
      with_compute_type(y.dtype, [&](auto type) {
        using Function = decltype(function);
        using T = decltype(type);
        with_piece<T>(y.cols, {gate_up, y}, [&](auto piece) {
          constexpr int N = decltype(piece)::value;
          const dim3 block = row_block(y.cols / N);
          launch({"gated_forward", row_grid(y.rows, block), block, 0, cuda_stream(stream)},
                 forward_kernel<Function, T, N>, rows_of<T>(gate_up), rows_of<T>(y), y.rows, y.cols);
        });
      });
    });
  }
  void enqueue_gated_backward(Stream& stream, Activation activation, ConstView gate_up, ConstView dy, View dgate_up,
                              View y) override {
    with_activation(activation, [&](auto function) {
      with_compute_type(dy.dtype, [&](auto type) {
        using Function = decltype(function);
        using T = decltype(type);
        with_piece<T>(dy.cols, {gate_up, dy, dgate_up, y}, [&](auto piece) {
          constexpr int N = decltype(piece)::value;
          const dim3 block = row_block(dy.cols / N);
          launch({"gated_backward", row_grid(dy.rows, block), block, 0, cuda_stream(stream)},
                 backward_kernel<Function, T, N>, rows_of<T>(gate_up), rows_of<T>(dy), rows_of<T>(dgate_up),
                 rows_of<T>(y), dy.rows, dy.cols);
        });
      });
    });
  }
};

}  // namespace

std::unique_ptr<ActivationKernels> make_activation() { return std::make_unique<CudaActivationKernels>(); }

}  // namespace tessera::cuda
