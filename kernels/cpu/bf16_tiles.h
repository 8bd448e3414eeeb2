#pragma once
#include <cstdint>

#include "device/view.h"
#include "kernels/kernels.h"

namespace tessera {

/// Products of bf16 with AVX-512's instruction for pairs of bf16: a tile of the result, 8 rows by 48 columns, stays in
/// 24 registers while all of K goes by.  Goto & van de Geijn 2008, "Anatomy of high-performance matrix multiplication".
constexpr int64_t tile_rows = 8, tile_cols = 48;

/// The first factor, [M, K].  Elements (m, 2p) and (m, 2p + 1) lie side by side, `row_stride` bytes after those of row
/// m - 1, and `tile_stride` after those of row m - tile_rows where m begins a tile; where K is odd, a zero follows.
struct PairedRows {
  const void* data;
  int64_t tile_stride, row_stride, pair_stride;
};
/// Of a view as it lies; K even.
PairedRows paired_rows(ConstView a);
/// Of a transposed factor, [K, M], as packed in blocks of tile_rows (pack_factor.h).
PairedRows paired_rows(const void* packed, int64_t K);

/// c = (or +=) a · b + bias, at once, on the calling thread.  b: [K, c.cols] as packed in blocks of tile_cols
/// (pack_factor.h); bias: c.cols elements of bf16, or null; c: bf16 or fp32, rounded once.
/// Only where the processor has AVX-512 with bf16.
void multiply_tiles(const PairedRows& a, int64_t K, const void* packed_b, const void* bias, View c, Write mode);

}  // namespace tessera
