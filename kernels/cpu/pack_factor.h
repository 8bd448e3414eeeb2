#pragma once
#include <cstdint>

#include "device/view.h"

namespace tessera {

/// The second factor of a product of bf16, [K, N], in the order in which the processor's instructions for pairs of
/// bf16 take it: blocks of 64 columns, in each the rows in pairs, in each pair column after column, (k, n) beside
/// (k + 1, n).  Zeros fill it up to whole blocks of 64 columns and 32 rows.  oneDNN calls it BA16a64b2a.
constexpr int64_t packed_block_cols = 64, packed_row_granule = 32;

/// With the zeros.
int64_t packed_bytes(int64_t K, int64_t N);

/// Packs `view`, [K, N] or, transposed, [N, K], bf16, into packed_bytes(K, N) at `to`, aligned to 64 bytes.  At once,
/// on up to `threads` threads.
void pack_factor(int threads, ConstView view, bool transposed, void* to);

}  // namespace tessera
