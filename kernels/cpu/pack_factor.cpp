#include "kernels/cpu/pack_factor.h"

// clang-format off: Highway reads this file once for each target, and its headers in this order
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pack_factor.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// clang-format on

#include <algorithm>

#include "base/number.h"
#include "device/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Some of the factor's blocks.  (k, n) is at from[k * row_stride + n * col_stride], and one of the strides is 1.
/// Pair p of column n of the block that begins with column n0 goes to to[n0 * padded_pairs + p * block_cols + n - n0].
struct Blocks {
  const uint16_t* from;
  int64_t row_stride, col_stride;
  int64_t K, cols;  // that are there
  int64_t block_cols, padded_pairs;
  uint32_t* to;

  Blocks from_block(int64_t first, int64_t count) const {
    Blocks some = *this;
    some.from += first * block_cols * col_stride;
    some.cols = std::min(cols - first * block_cols, count * block_cols);
    some.to += first * block_cols * padded_pairs;
    return some;
  }
  int64_t blocks() const { return ceil_div(cols, block_cols); }
  uint32_t element(int64_t k, int64_t n) const { return k < K && n < cols ? from[k * row_stride + n * col_stride] : 0; }
  uint32_t& pair(int64_t p, int64_t n) const {
    return to[n / block_cols * block_cols * padded_pairs + p * block_cols + n % block_cols];
  }
  /// Pairs [first, last) of columns [begin, end), one by one: for what the vectors leave over.
  void pack_each(int64_t first, int64_t last, int64_t begin, int64_t end) const {
    for (int64_t p = first; p < last; ++p)
      for (int64_t n = begin; n < end; ++n) pair(p, n) = element(2 * p, n) | element(2 * p + 1, n) << 16;
  }
};

/// Asks for a line of memory, into the second-level cache: the first has room for few lines that are on their way.
HWY_INLINE void ask_for(const uint16_t* element) { __builtin_prefetch(element, 0, 2); }

#if HWY_TARGET == HWY_SCALAR
constexpr int64_t cols_a_vector = int64_t{1} << 62;  // no vectors: all is left over
void pack_rows(const Blocks&, int64_t, int64_t) {}
void pack_columns(const Blocks&, int64_t, int64_t) {}
#else
constexpr int64_t cols_a_vector = 8;
constexpr int64_t line = 32;  // elements

/// Pairs of a few columns, as many as D has lanes, which lie one row after another.
template <typename D>
HWY_INLINE void interleave(D d, const uint16_t* rows, int64_t row_stride, int64_t pairs, uint32_t* to,
                           int64_t pair_stride) {
  const hn::Rebind<uint16_t, D> half;
  for (int64_t p = 0; p < pairs; ++p, rows += 2 * row_stride, to += pair_stride) {
    const auto even = hn::PromoteTo(d, hn::LoadU(half, rows));
    const auto odd = hn::PromoteTo(d, hn::LoadU(half, rows + row_stride));
    hn::StoreU(hn::Or(even, hn::ShiftLeft<16>(odd)), d, to);
  }
}

/// `pairs` pairs of rows of a block's columns [begin, end); `to` is the first pair of the first column.
void pack_rows_of_block(const Blocks& b, const uint16_t* rows, int64_t pairs, int64_t begin, int64_t end,
                        uint32_t* to) {
  const hn::CappedTag<uint32_t, 8> eight;
  const hn::CappedTag<uint32_t, 16> sixteen;
  int64_t n = begin;
  for (; n + 16 <= end; n += static_cast<int64_t>(hn::Lanes(sixteen)))
    interleave(sixteen, rows + n, b.row_stride, pairs, to + n - begin, b.block_cols);
  for (; n < end; n += static_cast<int64_t>(hn::Lanes(eight)))
    interleave(eight, rows + n, b.row_stride, pairs, to + n - begin, b.block_cols);
}

/// Rows one after another: two rows are interleaved.  All blocks at once, so that whole lines of memory are read, and a
/// few pairs of rows, so that whole lines are written: not more, as the rows may share one set of the first-level
/// cache.
void pack_rows(const Blocks& b, int64_t pairs, int64_t cols) {
  constexpr int64_t pairs_together = 4;
  for (int64_t p = 0; p < pairs; p += pairs_together) {
    const int64_t count = std::min(pairs_together, pairs - p);
    const uint16_t *rows = b.from + 2 * p * b.row_stride, *next = rows + 2 * pairs_together * b.row_stride;
    for (int64_t first = 0; first < cols; first += b.block_cols) {
      const int64_t end = std::min(first + b.block_cols, cols);
      // Each row is somewhere else, so the processor fetches nothing ahead by itself.
      for (int64_t n = round_up(first, line); n < end; n += line)
        for (int64_t r = 0; r < 2 * count; ++r) ask_for(next + r * b.row_stride + n);
      pack_rows_of_block(b, rows, count, first, end, b.to + first * b.padded_pairs + p * b.block_cols);
    }
  }
}

/// Columns one after another, so that pairs are there already: squares of 4 by 4 pairs are transposed, in vectors of 16
/// bytes whatever the processor, as memory sets the pace.
void pack_columns(const Blocks& b, int64_t pairs, int64_t cols) {
  constexpr int64_t elements_ahead = 64;  // of more columns than the processor follows by itself
  const hn::FixedTag<uint32_t, 4> four;
  const hn::FixedTag<uint64_t, 2> two;
  for (int64_t p = 0; p < pairs; p += 4) {
    for (int64_t n = 0; n < cols; n += 4) {
      const auto column = [&](int64_t i) {
        const uint16_t* from = b.from + (n + i) * b.col_stride + 2 * p;
        ask_for(from + elements_ahead);
        return hn::LoadU(four, reinterpret_cast<const uint32_t*>(from));
      };
      const auto write = [&](int64_t i, auto row) {
        hn::StoreU(hn::BitCast(four, row), four, b.to + (p + i) * b.block_cols + n);
      };
      const auto c0 = column(0), c1 = column(1), c2 = column(2), c3 = column(3);
      const auto low_01 = hn::BitCast(two, hn::InterleaveLower(four, c0, c1));
      const auto low_23 = hn::BitCast(two, hn::InterleaveLower(four, c2, c3));
      const auto high_01 = hn::BitCast(two, hn::InterleaveUpper(four, c0, c1));
      const auto high_23 = hn::BitCast(two, hn::InterleaveUpper(four, c2, c3));
      write(0, hn::InterleaveLower(two, low_01, low_23));
      write(1, hn::InterleaveUpper(two, low_01, low_23));
      write(2, hn::InterleaveLower(two, high_01, high_23));
      write(3, hn::InterleaveUpper(two, high_01, high_23));
    }
  }
}
#endif

void pack(const Blocks& b) {
  const bool by_rows = b.col_stride == 1;
  const int64_t cols = b.cols / cols_a_vector * cols_a_vector;
  const int64_t pairs = by_rows ? b.K / 2 : b.K / 8 * 4;
  by_rows ? pack_rows(b, pairs, cols) : pack_columns(b, pairs, cols);
  b.pack_each(0, pairs, cols, b.blocks() * b.block_cols);
  b.pack_each(pairs, b.padded_pairs, 0, b.blocks() * b.block_cols);
}

}  // namespace

/// The blocks [begin, end).
void pack_blocks(ConstView view, bool transposed, int64_t block_cols, void* to, int64_t begin, int64_t end) {
  const Blocks all{.from = static_cast<const uint16_t*>(view.data),
                   .row_stride = transposed ? 1 : view.row_stride,
                   .col_stride = transposed ? view.row_stride : 1,
                   .K = transposed ? view.cols : view.rows,
                   .cols = transposed ? view.rows : view.cols,
                   .block_cols = block_cols,
                   .padded_pairs = round_up(transposed ? view.cols : view.rows, packed_row_granule) / 2,
                   .to = static_cast<uint32_t*>(to)};
  // Reading stays on a row for a while; columns are read along anyway, and with one block writing stays together.
  const int64_t together = transposed ? 1 : std::max<int64_t>(256 / block_cols, 1);
  for (int64_t block = begin; block < end; block += together)
    pack(all.from_block(block, std::min(together, end - block)));
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(pack_blocks);

int64_t packed_bytes(int64_t K, int64_t N, int64_t block_cols) {
  return round_up(K, packed_row_granule) * round_up(N, block_cols) * size_of(DType::bf16);
}

void pack_factor(int threads, ConstView view, bool transposed, int64_t block_cols, void* to) {
  const int64_t blocks = ceil_div(transposed ? view.rows : view.cols, block_cols);
  parallel_for(threads, blocks, 1, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(pack_blocks)(view, transposed, block_cols, to, begin, end);
  });
}

}  // namespace tessera
#endif
