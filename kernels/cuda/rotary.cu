#include <numeric>
#include <stdexcept>

#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rows.cuh"

namespace tessera::cuda {
namespace {

constexpr int64_t most_frequencies = 512;  // 2 KiB of the 4 that the parameters of a kernel may have

/// A copy that travels with the launch, so that the caller's may go.
struct Frequencies {
  float values[most_frequencies];
};

__global__ void __launch_bounds__(block_threads) table_kernel(const int32_t* positions, int64_t T, Frequencies inv_freq,
                                                              int64_t half, float scale, float* cos, float* sin) {
  const int64_t t = row_of_thread();
  if (t >= T) return;
  for_pieces<1>(half, [&](int64_t i) {
    const float angle = static_cast<float>(positions[t]) * inv_freq.values[i];
    cos[t * half + i] = scale * cosf(angle);
    sin[t * half + i] = scale * sinf(angle);
  });
}

/// (a, b) -> (a·cos - b·sin, b·cos + a·sin) for the halves of what turns of each head, sin taken times `sign`.
template <typename T, int N>
__global__ void __launch_bounds__(block_threads)
    rotate_kernel(const float* cos, const float* sin, float sign, int32_t D, int32_t half, Rows<T> x, int64_t rows,
                  int32_t pairs) {
  const int64_t t = row_of_thread();
  if (t >= rows) return;
  for_pieces<N>(pairs, [&](int64_t pair) {
    const int32_t head = static_cast<int32_t>(pair) / half, i = static_cast<int32_t>(pair) % half;
    T* const first = x[t] + int64_t{D} * head + i;
    float a[N], b[N], c[N], s[N], rotated_a[N], rotated_b[N];
    load(first, a);
    load(first + half, b);
    load(cos + t * half + i, c);
    load(sin + t * half + i, s);
    for (int j = 0; j < N; ++j) {
      rotated_a[j] = a[j] * c[j] - b[j] * (sign * s[j]);
      rotated_b[j] = b[j] * c[j] + a[j] * (sign * s[j]);
    }
    store(rotated_a, first);
    store(rotated_b, first + half);
  });
}

void rotate(cudaStream_t stream, const float* cos, const float* sin, float sign, const RotaryHeads& heads, View x) {
  const int64_t half = heads.turned / 2, pairs = x.cols / heads.D * half;
  const ConstView cos_view(cos, DType::f32, x.rows, half), sin_view(sin, DType::f32, x.rows, half);
  with_compute_type(x.dtype, [&](auto type) {
    using T = decltype(type);
    with_piece<T>(std::gcd(half, heads.D), {x, cos_view, sin_view}, [&](auto piece) {
      constexpr int N = decltype(piece)::value;
      const dim3 block = row_block(pairs / N);
      launch({"rope", row_grid(x.rows, block), block, 0, stream}, rotate_kernel<T, N>, cos, sin, sign,
             narrow<int32_t>(heads.D), narrow<int32_t>(half), rows_of<T>(x), x.rows, narrow<int32_t>(pairs));
    });
  });
}

class CudaRotaryKernels final : public RotaryKernels {
  /// inv_freq: at most 512.
  void enqueue_rope_table(Stream& stream, const int32_t* positions, int64_t T, const float* inv_freq, int64_t half,
                          float scale, float* cos, float* sin) override {
    if (half > most_frequencies) throw std::logic_error("rope_table: heads wider than any model's");
    Frequencies frequencies{};
    std::copy_n(inv_freq, half, frequencies.values);
    const dim3 block = row_block(half);
    launch({"rope_table", row_grid(T, block), block, 0, cuda_stream(stream)}, table_kernel, positions, T, frequencies,
           half, scale, cos, sin);
  }
  void enqueue_rope_forward(Stream& stream, const float* cos, const float* sin, const RotaryHeads& heads,
                            View x) override {
    rotate(cuda_stream(stream), cos, sin, 1, heads, x);
  }
  void enqueue_rope_backward(Stream& stream, const float* cos, const float* sin, const RotaryHeads& heads,
                             View dx) override {
    rotate(cuda_stream(stream), cos, sin, -1, heads, dx);
  }
};

}  // namespace

std::unique_ptr<RotaryKernels> make_rotary() { return std::make_unique<CudaRotaryKernels>(); }

}  // namespace tessera::cuda
