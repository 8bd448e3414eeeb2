#include "kernels/cpu/bf16_tiles.h"

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/number.h"
#include "kernels/cpu/pack_factor.h"

// Highway has no name for this instruction (processor.h), so these functions are compiled for the one processor that
// can run them.
#define TESSERA_TILE __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))
#define TESSERA_TILE_INLINE TESSERA_TILE __attribute__((always_inline)) inline

namespace tessera {
namespace {

constexpr int64_t vectors = tile_cols / 16;
constexpr int64_t pair_bytes = 4;
constexpr int64_t block_pair_bytes = tile_cols * pair_bytes;  // of a pair of rows in a block of b

/// Of a tile's result: what is added to the products, and where the sums go, with how many columns.
struct TileResult {
  char* to;
  const char* added;                 // or null
  int64_t row_stride, added_stride;  // bytes
  DType dtype;                       // of both
  std::array<__mmask16, vectors> columns;
  const char* bias;  // of the tile's columns, or null
};

TESSERA_TILE_INLINE __m512 load_bf16(const char* from, __mmask16 columns) {
  const __m512i bits = _mm512_maskz_cvtepu16_epi32(columns, _mm256_maskz_loadu_epi16(columns, from));
  return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(columns, bits, 16));
}

template <int rows>
using Sums = __m512[rows][vectors];

// A tile in three parts.  Each looks once at what the result is like, not in every row: where few products make an
// element, as in attention, that shows.

template <int rows>
TESSERA_TILE_INLINE void begin_tile(const TileResult& result, Sums<rows>& sums) {
  __m512 bias[vectors];
#pragma GCC unroll 4
  for (int64_t v = 0; v < vectors; ++v)
    bias[v] = result.bias == nullptr ? _mm512_setzero_ps()
                                     : load_bf16(result.bias + v * 32, result.columns[static_cast<size_t>(v)]);
#pragma GCC unroll 8
  for (int64_t r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int64_t v = 0; v < vectors; ++v) sums[r][v] = bias[v];
  if (result.added == nullptr) return;
  if (result.dtype == DType::f32) {
    const std::array<__mmask16, vectors> columns = result.columns;
    const char* row = result.added;
#pragma GCC unroll 8
    for (int64_t r = 0; r < rows; ++r, row += result.added_stride)
#pragma GCC unroll 4
      for (int64_t v = 0; v < vectors; ++v)
        sums[r][v] = _mm512_add_ps(sums[r][v], _mm512_maskz_loadu_ps(columns[static_cast<size_t>(v)], row + v * 64));
  } else {  // added to the sums when they are done, and has come by then
#pragma GCC unroll 8
    for (int64_t r = 0; r < rows; ++r) _mm_prefetch(result.added + r * result.added_stride, _MM_HINT_T0);
  }
}

template <int rows>
TESSERA_TILE_INLINE void add_products(const PairedRows& a, int64_t pairs, const char* b, Sums<rows>& sums) {
  // Three addresses reach eight rows, and leave enough registers for addresses.
  const auto* data = static_cast<const char*>(a.data);
  const int64_t stride = a.row_stride, pair_stride = a.pair_stride;
  const char* thirds[] = {data, data + 3 * stride, data + 6 * stride};
  constexpr int64_t ahead = 5 * block_pair_bytes;  // as far as the second-level cache is late, where b lies
#pragma GCC unroll 2
  for (int64_t p = 0; p < pairs; ++p) {
    __m512bh block[vectors];
#pragma GCC unroll 4
    for (int64_t v = 0; v < vectors; ++v) {
      block[v] = (__m512bh)_mm512_loadu_si512(b + v * 64);
      _mm_prefetch(b + ahead + v * 64, _MM_HINT_T0);
    }
#pragma GCC unroll 8
    for (int64_t r = 0; r < rows; ++r) {
      int32_t pair;
      std::memcpy(&pair, thirds[r / 3] + r % 3 * stride, sizeof pair);
      const auto element = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 4
      for (int64_t v = 0; v < vectors; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], element, block[v]);
    }
    b += block_pair_bytes;
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) thirds[i] += pair_stride;
  }
}

template <int rows>
TESSERA_TILE_INLINE void finish_tile(const TileResult& result, Sums<rows>& sums) {
  const std::array<__mmask16, vectors> columns = result.columns;
  const int64_t stride = result.row_stride, added_stride = result.added_stride;
  char* to = result.to;
  if (result.dtype == DType::f32) {
#pragma GCC unroll 8
    for (int64_t r = 0; r < rows; ++r, to += stride)
#pragma GCC unroll 4
      for (int64_t v = 0; v < vectors; ++v)
        _mm512_mask_storeu_ps(to + v * 64, columns[static_cast<size_t>(v)], sums[r][v]);
    return;
  }
  if (const char* added = result.added; added != nullptr) {
#pragma GCC unroll 8
    for (int64_t r = 0; r < rows; ++r, added += added_stride)
#pragma GCC unroll 4
      for (int64_t v = 0; v < vectors; ++v)
        sums[r][v] = _mm512_add_ps(sums[r][v], load_bf16(added + v * 32, columns[static_cast<size_t>(v)]));
  }
#pragma GCC unroll 8
  for (int64_t r = 0; r < rows; ++r, to += stride)
#pragma GCC unroll 4
    for (int64_t v = 0; v < vectors; ++v)
      _mm256_mask_storeu_epi16(to + v * 32, columns[static_cast<size_t>(v)], (__m256i)_mm512_cvtneps_pbh(sums[r][v]));
}

/// `a` begins with the tile's rows, `b` is its block of the second factor.
template <int rows>
TESSERA_TILE void multiply_tile(const PairedRows& a, int64_t pairs, const char* b, const TileResult& result) {
  Sums<rows> sums;
  begin_tile<rows>(result, sums);
  add_products<rows>(a, pairs, b, sums);
  finish_tile<rows>(result, sums);
}

using MultiplyTile = void (*)(const PairedRows&, int64_t, const char*, const TileResult&);
constexpr std::array<MultiplyTile, tile_rows> multiply_tile_of_rows = {
    multiply_tile<1>, multiply_tile<2>, multiply_tile<3>, multiply_tile<4>,
    multiply_tile<5>, multiply_tile<6>, multiply_tile<7>, multiply_tile<8>};

/// Whether elements (m, 2p) and (m, 2p + 1) lie side by side.
bool lies_in_pairs(const Factor& a) { return !a.transposed && a.cols() % 2 == 0; }

std::array<__mmask16, vectors> masks(int64_t cols) {
  std::array<__mmask16, vectors> columns;
  for (int64_t v = 0; v < vectors; ++v)
    columns[static_cast<size_t>(v)] = static_cast<__mmask16>((1u << std::clamp<int64_t>(cols - v * 16, 0, 16)) - 1);
  return columns;
}

}  // namespace

int64_t pairing_bytes(const Factor& a) { return lies_in_pairs(a) ? 0 : packed_bytes(a.cols(), a.rows(), tile_rows); }

PairedRows pair_rows(const Factor& a, void* scratch) {
  if (lies_in_pairs(a)) {
    const int64_t row = a.view.row_stride * size_of(DType::bf16);
    return {a.view.data, tile_rows * row, row, pair_bytes};
  }
  pack_factor(1, a.view, !a.transposed, tile_rows, scratch);
  return {scratch, packed_bytes(a.cols(), tile_rows, tile_rows), pair_bytes, tile_rows * pair_bytes};
}

PackedCols PackedCols::rows_from(int64_t first) const {
  return {static_cast<const char*>(data) + first / 2 * block_pair_bytes, block_stride};
}
PackedCols PackedCols::cols_from(int64_t first) const {
  return {static_cast<const char*>(data) + first / tile_cols * block_stride, block_stride};
}
PackedCols packed_cols(const void* packed, int64_t K) { return {packed, packed_bytes(K, tile_cols, tile_cols)}; }

void multiply_tiles(const PairedRows& a, int64_t K, const PackedCols& b, const void* bias, ConstView added, View c) {
  const int64_t pairs = ceil_div(K, 2);
  const int64_t element = size_of(c.dtype);
  const auto* added_data = static_cast<const char*>(added.data);
  for (int64_t col = 0; col < c.cols; col += tile_cols) {
    const auto* block = static_cast<const char*>(b.cols_from(col).data);
    TileResult result{.to = nullptr,
                      .added = nullptr,
                      .row_stride = c.row_stride * element,
                      .added_stride = added.row_stride * element,
                      .dtype = c.dtype,
                      .columns = masks(c.cols - col),
                      .bias = bias == nullptr ? nullptr : static_cast<const char*>(bias) + col * 2};
    PairedRows tile = a;
    for (int64_t row = 0; row < c.rows; row += tile_rows) {
      const int64_t rows = std::min(tile_rows, c.rows - row);
      result.to = static_cast<char*>(c.data) + row * result.row_stride + col * element;
      if (added) result.added = added_data + row * result.added_stride + col * element;
      tile.data = static_cast<const char*>(a.data) + row / tile_rows * a.tile_stride;
      multiply_tile_of_rows[static_cast<size_t>(rows - 1)](tile, pairs, block, result);
    }
  }
}

}  // namespace tessera
