#include "kernels/cuda/attention_padding.h"
#include "kernels/cuda/rows.cuh"

namespace tessera::cuda {
namespace {

/// A row of the copy.
struct Place {
  int64_t row;  ///< of the batch
  bool filled;  ///< else it is behind the document's end
};

__device__ Place place_of(const PaddedDocuments& documents, int64_t row) {
  const int64_t n = row / documents.longest, t = row - n * documents.longest;
  if (n >= documents.N) return {0, false};
  const int64_t begin = documents.cu_seqlens[n];
  return {begin + t, t < documents.cu_seqlens[n + 1] - begin};
}

/// pad: into the copy, else out of it.
template <bool pad, typename T, int N>
__global__ void __launch_bounds__(block_threads)
    move_documents_kernel(PaddedDocuments documents, Rows<const T> from, Rows<T> to, int64_t cols) {
  const int64_t row = row_of_thread();
  if (row >= documents.rows()) return;
  const Place place = place_of(documents, row);
  if (place.filled)
    move_row<T, N>(from[pad ? place.row : row], to[pad ? row : place.row], cols);
  else if (pad)
    zero_row<T, N>(to[row], cols);
}

/// A thread for each position and head, positions beside each other.
__global__ void __launch_bounds__(block_threads)
    pad_statistics_kernel(PaddedDocuments documents, Rows<const float> from, float* to, int64_t heads) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * block_threads + threadIdx.x, head = blockIdx.y;
  if (row >= documents.rows()) return;
  const Place place = place_of(documents, row);
  const int64_t n = row / documents.longest, t = row - n * documents.longest;
  to[(n * heads + head) * documents.longest + t] = place.filled ? from[place.row][head] : 0;
}

template <bool pad>
void move_documents(const char* name, cudaStream_t stream, const PaddedDocuments& documents, ConstView from, View to) {
  with_compute_type(to.dtype, [&](auto type) {
    using T = decltype(type);
    with_piece<T>(to.cols, {from, to}, [&](auto piece) {
      constexpr int N = decltype(piece)::value;
      const dim3 block = row_block(to.cols / N);
      launch({name, row_grid(documents.rows(), block), block, 0, stream}, move_documents_kernel<pad, T, N>, documents,
             rows_of<T>(from), rows_of<T>(to), to.cols);
    });
  });
}

}  // namespace

void pad_documents(cudaStream_t stream, const PaddedDocuments& documents, ConstView from, View to) {
  move_documents<true>("pad_documents", stream, documents, from, to);
}

void unpad_documents(cudaStream_t stream, const PaddedDocuments& documents, ConstView from, View to) {
  move_documents<false>("unpad_documents", stream, documents, from, to);
}

void pad_statistics(cudaStream_t stream, const PaddedDocuments& documents, ConstView from, float* to) {
  launch({"pad_statistics",
          {blocks(ceil_div(documents.rows(), block_threads)), blocks(from.cols), 1},
          {block_threads, 1, 1},
          0,
          stream},
         pad_statistics_kernel, documents, rows_of<float>(from), to, from.cols);
}

}  // namespace tessera::cuda
