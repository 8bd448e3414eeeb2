#pragma once
#include <cstdint>

#include "kernels/cpu/factor.h"
#include "kernels/kernels.h"

namespace tessera {

/// Products of bf16 with AVX-512's instruction for pairs of bf16: a tile of the result, 8 rows by 32 columns, stays in
/// 16 registers while all of K goes by.  Goto & van de Geijn 2008, "Anatomy of high-performance matrix multiplication".
constexpr int64_t tile_rows = 8, tile_cols = 32;

/// The first factor, [M, K].  Elements (m, 2p) and (m, 2p + 1) lie side by side, `row_stride` bytes after those of row
/// m - 1, and `tile_stride` after those of row m - tile_rows where m begins a tile; where K is odd, a zero follows.
struct PairedRows {
  const void* data;
  int64_t tile_stride, row_stride, pair_stride;
};
/// Of a factor as it lies where its pairs lie side by side; else of one packed into `scratch`, pairing_bytes(a) aligned
/// to 64, which is read as long as the result is.
PairedRows pair_rows(const Factor& a, void* scratch);
int64_t pairing_bytes(const Factor& a);

/// The second factor, [K, N], as packed in blocks of tile_cols (pack_factor.h), or a part of one.
struct PackedCols {
  const void* data = nullptr;
  int64_t block_stride = 0;  // bytes

  PackedCols rows_from(int64_t first) const;  // an even row
  PackedCols cols_from(int64_t first) const;  // a multiple of tile_cols
};
PackedCols packed_cols(const void* packed, int64_t K);

/// c = a · b + bias + added, at once, on the calling thread.  bias: c.cols elements of bf16, or null; c: bf16 or fp32,
/// rounded once; added: as c, may be c, or empty.  Only where the processor has AVX-512 with bf16.
void multiply_tiles(const PairedRows& a, int64_t K, const PackedCols& b, const void* bias, ConstView added, View c);

}  // namespace tessera
