#pragma once
#include <cuda_runtime.h>

#include <cfloat>

#include "kernels/cuda/own_attention.h"
#include "kernels/cuda/rows.cuh"

/// What the own attention kernels share.  A block is eight warps; each warp has a row of its own (a query, or in the
/// backward pass a key), and all go together through tiles of 32 rows of the other side, which lie in shared memory as
/// fp32.  For products of the row with the tile a lane has a row of the tile; for sums over the tile's rows a lane has
/// every 32nd column.
namespace tessera::cuda {

constexpr int attention_warps = 8;
constexpr int tile_rows = 32;
constexpr int most_head_width = 256;
constexpr int lane_columns = most_head_width / 32;

/// Floats from one row of a tile to the next: rows are filled up with zeros to whole float4s, and one more lets the
/// lanes read float4s of their rows from different banks.
__host__ __device__ inline int tile_pitch(int D) { return (D + 3) / 4 * 4 + 4; }

/// A document of the batch, by its number.
struct Document {
  int64_t begin;
  int32_t length;
};
__device__ inline Document document(const int32_t* cu_seqlens, int64_t n) {
  return {cu_seqlens[n], cu_seqlens[n + 1] - cu_seqlens[n]};
}

/// tile[r, :] = rows[first + r, column … column + D-1] for `count` rows, zeros up to `most` rows, by `threads` threads.
template <typename T>
__device__ void load_tile(Rows<const T> rows, int64_t first, int count, int most, int64_t column, int D, float* tile,
                          int thread, int threads) {
  const int pitch = tile_pitch(D);
  for (int i = thread; i < most * pitch; i += threads) {
    const int r = i / pitch, d = i % pitch;
    tile[i] = r < count && d < D ? to_float(rows[first + r][column + d]) : 0;
  }
}
/// The same for a whole tile, by the whole block, after everybody is done with what was in it.
template <typename T>
__device__ void next_tile(Rows<const T> rows, int64_t first, int count, int64_t column, int D, float* tile) {
  __syncthreads();
  load_tile(rows, first, min(count, tile_rows), tile_rows, column, D, tile, static_cast<int>(threadIdx.x),
            attention_warps * 32);
  __syncthreads();
}

/// Σ a·b of two rows as they lie in tiles.
__device__ inline float dot_rows(const float* a, const float* b, int D) {
  float sum = 0;
  for (int d = 0; d < D; d += 4) {
    const float4 x = *reinterpret_cast<const float4*>(a + d), y = *reinterpret_cast<const float4*>(b + d);
    sum += x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w;
  }
  return sum;
}

/// sums[c] += Σ_r weights[r] · tile[r, lane + 32 c].
__device__ inline void add_rows(const float* weights, const float* tile, int D, int lane, float (&sums)[lane_columns]) {
  const int pitch = tile_pitch(D);
  for (int r = 0; r < tile_rows; ++r) {
    const float weight = weights[r];
#pragma unroll
    for (int c = 0; c < lane_columns; ++c)
      if (c * 32 < D && lane + 32 * c < D) sums[c] += weight * tile[r * pitch + lane + 32 * c];
  }
}

/// to[lane + 32 c] = sums[c] · factor.
template <typename T>
__device__ void store_row(const float (&sums)[lane_columns], float factor, int D, int lane, T* to) {
#pragma unroll
  for (int c = 0; c < lane_columns; ++c)
    if (lane + 32 * c < D) from_float(sums[c] * factor, to + lane + 32 * c);
}

__device__ inline float warp_sum(float value) {
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(whole_warp, value, offset);
  return value;
}
__device__ inline float warp_max(float value) {
  for (int offset = 16; offset > 0; offset /= 2) value = fmaxf(value, __shfl_xor_sync(whole_warp, value, offset));
  return value;
}

/// The first key that query i of a document sees.
__device__ inline int first_key(int i, int window) { return window > 0 ? max(i - window + 1, 0) : 0; }

/// AttentionShape in the sizes that kernels count in.
struct AttentionSizes {
  int H, G, D, window;
  float scale, softcap;
  const int32_t* cu_seqlens;
  int row_blocks;  // of the longest document, each of attention_warps rows
};
AttentionSizes attention_sizes(const AttentionShape& shape);

/// The score of a product q·k, and its slope by the scaled product.
template <bool capped>
__device__ float score_of(const AttentionSizes& s, float product) {
  if constexpr (capped)
    return soft_capped(s.scale * product, s.softcap);
  else
    return s.scale * product;
}
template <bool capped>
__device__ float score_slope(const AttentionSizes& s, float score) {
  if constexpr (capped)
    return soft_cap_slope(score, s.softcap);
  else
    return 1;
}

/// f(std::bool_constant<whether scores are capped>()).
template <typename F>
void with_capping(const AttentionShape& shape, const F& f) {
  if (shape.softcap > 0)
    f(std::true_type());
  else
    f(std::false_type());
}

/// What a warp of attention_grid() works on: a row of a document, and the head of the block.
struct WarpPlace {
  Document doc;
  int first_of_block;  ///< row, counted in the document; beyond its end for blocks that have nothing to do
  int warp, lane, row, head;
};
__device__ inline WarpPlace warp_place(const AttentionSizes& s) {
  const int first = static_cast<int>(blockIdx.x) % s.row_blocks * attention_warps;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  return {
      document(s.cu_seqlens, blockIdx.x / s.row_blocks), first, warp, lane, first + warp, static_cast<int>(blockIdx.y)};
}

/// Blocks for every row of every document, and `heads` of each.
dim3 attention_grid(const AttentionSizes& sizes, int64_t documents, int64_t heads);

}  // namespace tessera::cuda
