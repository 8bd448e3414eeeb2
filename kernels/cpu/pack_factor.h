#pragma once
#include <cstdint>

#include "device/view.h"

namespace tessera {

/// A factor of a product of bf16, [K, N], in the order in which the processor's instructions for pairs of bf16 take it:
/// blocks of `block_cols` columns, in each the rows in pairs, in each pair column after column, (k, n) beside
/// (k + 1, n).  Zeros fill it up to whole blocks and to a multiple of 32 rows.
/// oneDNN calls it BA16a64b2a for blocks of 64 columns.
constexpr int64_t packed_row_granule = 32;

/// With the zeros.
int64_t packed_bytes(int64_t K, int64_t N, int64_t block_cols);

/// Packs `view`, [K, N] or, transposed, [N, K], bf16, into packed_bytes(K, N, block_cols) at `to`, aligned to 64 bytes.
/// block_cols: a multiple of 8.  At once, on up to `threads` threads.
void pack_factor(int threads, ConstView view, bool transposed, int64_t block_cols, void* to);

}  // namespace tessera
