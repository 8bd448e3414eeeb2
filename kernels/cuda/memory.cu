#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/rows.cuh"

namespace tessera::cuda {
namespace {

template <typename From, typename To, int N>
__global__ void __launch_bounds__(block_threads)
    cast_kernel(Rows<const From> from, Rows<To> to, int64_t rows, int64_t cols) {
  const int64_t row = row_of_thread();
  if (row >= rows) return;
  const From* const x = from[row];
  To* const y = to[row];
  constexpr int together = 4;
  Packed<From, N> pieces[together];
  for_pieces_together<N, together>(
      cols, [&](int k, int64_t i) { load(x + i, pieces[k]); },
      [&](int k, int64_t i) {
        float values[N];
        unpack(pieces[k], values);
        store(values, y + i);
      });
}

/// Rows of one length.
void cast_rows(cudaStream_t stream, ConstView from, View to) {
  with_compute_type(from.dtype, [&](auto from_type) {
    with_compute_type(to.dtype, [&](auto to_type) {
      using From = decltype(from_type);
      using To = decltype(to_type);
      using Wider = std::conditional_t<sizeof(From) < sizeof(To), To, From>;
      with_piece<Wider>(to.cols, {from, to}, [&](auto piece) {
        constexpr int N = decltype(piece)::value;
        const dim3 block = row_block(to.cols / N);
        launch({"cast", row_grid(to.rows, block), block, 0, stream}, cast_kernel<From, To, N>, rows_of<From>(from),
               rows_of<To>(to), to.rows, to.cols);
      });
    });
  });
}

}  // namespace

void cast(cudaStream_t stream, ConstView from, View to) {
  if (!from.contiguous() || !to.contiguous()) {
    cast_rows(stream, from, to);
    return;
  }
  // Contiguous elements make rows of one block's work, and one short row.
  constexpr int64_t width = block_threads * 4 * elements_of_16_bytes<float>;
  const int64_t n = to.size(), full = n / width, rest = n - full * width;
  cast_rows(stream, ConstView(from.data, from.dtype, full, width), View(to.data, to.dtype, full, width));
  cast_rows(stream, ConstView(from.data, from.dtype, 1, n).cols_from(full * width, rest),
            View(to.data, to.dtype, 1, n).cols_from(full * width, rest));
}

void fill_zero(cudaStream_t stream, View to) {
  const auto bytes = [&](int64_t elements) { return static_cast<size_t>(elements * size_of(to.dtype)); };
  if (to.contiguous())
    check(cudaMemsetAsync(to.data, 0, static_cast<size_t>(to.bytes()), stream), "fill_zero");
  else
    check(cudaMemset2DAsync(to.data, bytes(to.row_stride), 0, bytes(to.cols), static_cast<size_t>(to.rows), stream),
          "fill_zero");
}

namespace {

class CudaMemoryKernels final : public MemoryKernels {
  void enqueue_cast(Stream& stream, ConstView from, View to) override { cuda::cast(cuda_stream(stream), from, to); }
  void enqueue_fill_zero(Stream& stream, void* to, int64_t bytes) override {
    check(cudaMemsetAsync(to, 0, static_cast<size_t>(bytes), cuda_stream(stream)), "fill_zero");
  }
  void enqueue_copy(Stream& stream, const void* from, void* to, int64_t bytes) override {
    check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, cuda_stream(stream)), "copy");
  }
};

}  // namespace

std::unique_ptr<MemoryKernels> make_memory() { return std::make_unique<CudaMemoryKernels>(); }

}  // namespace tessera::cuda
