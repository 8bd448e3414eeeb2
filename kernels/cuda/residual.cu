#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rows.cuh"

namespace tessera::cuda {
namespace {

template <typename T, int N>
__global__ void __launch_bounds__(block_threads)
    scale_kernel(Rows<const T> x_rows, float factor, Rows<const T> added_rows, Rows<T> y_rows, int64_t rows,
                 int64_t cols) {
  const int64_t row = row_of_thread();
  if (row >= rows) return;
  const T* const x = x_rows[row];
  const T* const added = added_rows.data != nullptr ? added_rows[row] : nullptr;
  T* const y = y_rows[row];
  constexpr int together = 2;
  Packed<T, N> packed[together], others[together] = {};
  for_pieces_together<N, together>(
      cols,
      [&](int k, int64_t i) {
        load(x + i, packed[k]);
        if (added != nullptr) load(added + i, others[k]);
      },
      [&](int k, int64_t i) {
        float values[N], more[N];
        unpack(packed[k], values);
        unpack(others[k], more);
        for (int j = 0; j < N; ++j) values[j] = fmaf(factor, values[j], more[j]);
        store(values, y + i);
      });
}

class CudaResidualKernels final : public ResidualKernels {
  void enqueue_scale(Stream& stream, ConstView x, float factor, ConstView added, View y) override {
    const ConstView other = added ? added : ConstView(nullptr, y.dtype, 0, 0);
    with_compute_type(y.dtype, [&](auto type) {
      using T = decltype(type);
      with_piece<T>(y.cols, {x, other, y}, [&](auto piece) {
        constexpr int N = decltype(piece)::value;
        const dim3 block = row_block(y.cols / N);
        launch({"scale", row_grid(y.rows, block), block, 0, cuda_stream(stream)}, scale_kernel<T, N>, rows_of<T>(x),
               factor, rows_of<T>(other), rows_of<T>(y), y.rows, y.cols);
      });
    });
  }
};

}  // namespace

std::unique_ptr<ResidualKernels> make_residual() { return std::make_unique<CudaResidualKernels>(); }

}  // namespace tessera::cuda
