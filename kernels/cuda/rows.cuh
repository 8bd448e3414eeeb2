#pragma once
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "base/number.h"
#include "device/view.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/values.cuh"

/// How most kernels here go through a matrix: blocks of 256 threads, of which each row has as many as its width can
/// feed.  blockDim is (threads of a row, rows of a block), so threadIdx.x is the thread in its row.
namespace tessera::cuda {

constexpr int block_threads = 256;
constexpr unsigned whole_warp = 0xffffffffu;

/// The rows of a view, for a kernel.
template <typename T>
struct Rows {
  T* data;
  int64_t stride;
  __device__ T* operator[](int64_t row) const { return data + row * stride; }
};
template <typename T>
Rows<T> rows_of(const View& view) {
  return {view.as<T>(), view.row_stride};
}
template <typename T>
Rows<const T> rows_of(const ConstView& view) {
  return {view.as<T>(), view.row_stride};
}

inline bool multiple_of_16(const void* address) { return reinterpret_cast<uintptr_t>(address) % 16 == 0; }

/// Calls f with N, how many elements one access may take: 16 bytes of T's where the width, the first byte and the
/// distance of the rows allow it in each of the views, else one.  Where their types differ T is float, with 8 bytes of
/// bf16 beside 16 of fp32: stores of 32 bytes a thread would come to the cache in two halves of each sector.
template <typename T, typename F>
void with_piece(int64_t cols, std::initializer_list<ConstView> views, const F& f) {
  constexpr int wide = elements_of_16_bytes<T>;
  const bool aligned = std::all_of(views.begin(), views.end(), [](const ConstView& view) {
    return multiple_of_16(view.data) && (view.rows <= 1 || view.row_stride * size_of(view.dtype) % 16 == 0);
  });
  if (aligned && cols % wide == 0)
    f(std::integral_constant<int, wide>());
  else
    f(std::integral_constant<int, 1>());
}

/// The threads of each row, two pieces for each where `most` threads suffice, and the rows of a block.
inline dim3 row_block(int64_t pieces, int most = block_threads) {
  int threads = 1;
  while (threads < most && 2 * threads < pieces) threads *= 2;
  return {static_cast<unsigned>(threads), static_cast<unsigned>(std::max(block_threads / threads, 1)), 1};
}
/// Blocks for every row.
inline dim3 row_grid(int64_t rows, dim3 block) { return {blocks(ceil_div(rows, block.y)), 1, 1}; }

/// The row of this thread, where each has one.
__device__ inline int64_t row_of_thread() { return static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y; }

/// f(i) for the first element i of each piece that this thread has of a row.
template <int N, typename F>
__device__ void for_pieces(int64_t cols, const F& f) {
  for (int64_t i = static_cast<int64_t>(threadIdx.x) * N; i < cols; i += static_cast<int64_t>(blockDim.x) * N) f(i);
}

/// load(k, i), then use(k, i), for `together` pieces at a time: a compiler cannot know that what is stored is not what
/// is loaded next, and would have each load wait for the store before it.
template <int N, int together, typename Load, typename Use>
__device__ void for_pieces_together(int64_t cols, const Load& load, const Use& use) {
  const int64_t step = static_cast<int64_t>(blockDim.x) * N;
  for (int64_t first = static_cast<int64_t>(threadIdx.x) * N; first < cols; first += together * step) {
#pragma unroll
    for (int k = 0; k < together; ++k)
      if (first + k * step < cols) load(k, first + k * step);
#pragma unroll
    for (int k = 0; k < together; ++k)
      if (first + k * step < cols) use(k, first + k * step);
  }
}

/// to = from, every bit: the thread's part of a row.
template <typename T, int N>
__device__ void move_row(const T* from, T* to, int64_t cols) {
  using Piece = std::conditional_t<N == 1, T, uint4>;
  static_assert(sizeof(Piece) == N * sizeof(T));
  constexpr int together = 2;
  Piece pieces[together];
  for_pieces_together<N, together>(
      cols, [&](int k, int64_t i) { pieces[k] = *reinterpret_cast<const Piece*>(from + i); },
      [&](int k, int64_t i) {
        if constexpr (N == 1)
          to[i] = pieces[k];
        else
          store_words(to + i, pieces[k].x, pieces[k].y, pieces[k].z, pieces[k].w);
      });
}

/// to = 0: the thread's part of a row.
template <typename T, int N>
__device__ void zero_row(T* to, int64_t cols) {
  const float zero[N] = {};
  for_pieces<N>(cols, [&](int64_t i) { store(zero, to + i); });
}

/// f(p, i) for the first `kept` of those pieces, unrolled: p is their number, a constant, for an array in registers
/// that keeps them from one pass over the row to the next.  Loads that are not to wait for each other are a pass of
/// their own.
template <int N, int kept, typename F>
__device__ void for_kept_pieces(int64_t cols, const F& f) {
  const int64_t step = static_cast<int64_t>(blockDim.x) * N, first = static_cast<int64_t>(threadIdx.x) * N;
#pragma unroll
  for (int p = 0; p < kept; ++p)
    if (first + p * step < cols) f(p, first + p * step);
}
/// f(i) for the pieces behind those, of very wide rows.
template <int N, int kept, typename F>
__device__ void for_other_pieces(int64_t cols, const F& f) {
  const int64_t step = static_cast<int64_t>(blockDim.x) * N;
  for (int64_t i = static_cast<int64_t>(threadIdx.x) * N + kept * step; i < cols; i += step) f(i);
}

/// Σ value over the threads of a row, the same bits in each of them.  Every thread of the block calls it; `partial`:
/// shared, a float for each warp of a block.
__device__ inline float row_sum(float value, float* partial) {
  for (int offset = static_cast<int>(min(blockDim.x, 32u)) / 2; offset > 0; offset /= 2)
    value += __shfl_xor_sync(whole_warp, value, offset);
  if (blockDim.x <= 32) return value;
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
  __syncthreads();  // `partial` may still be read from the last time
  if (thread % 32 == 0) partial[thread / 32] = value;
  __syncthreads();
  float sum = 0;
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) sum += partial[threadIdx.y * blockDim.x / 32 + warp];
  return sum;
}

/// The block's dynamic shared memory.
template <typename T>
__device__ T* dynamic_shared() {
#ifdef __CUDACC__
  extern __shared__ float4 memory[];
  return reinterpret_cast<T*>(memory);
#else
  return static_cast<T*>(cuda_shim::dynamic_shared());
#endif
}

/// The sum of the values of a block's block_threads threads, in every thread.  partial: shared, [block_threads / 32].
__device__ inline double block_sum(double value, double* partial) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(whole_warp, value, offset);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  double sum = 0;
  for (int warp = 0; warp < block_threads / 32; ++warp) sum += partial[warp];
  return sum;
}

}  // namespace tessera::cuda
