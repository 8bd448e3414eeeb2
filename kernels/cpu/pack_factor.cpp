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

constexpr int64_t block_cols = packed_block_cols, row_granule = packed_row_granule;

/// One block of columns.  `from` is its first element, (k, n) at k * row_stride + n * col_stride, and one of the
/// strides is 1; pair p of column n goes to to[p * block_cols + n].
struct Block {
  const uint16_t* from;
  int64_t row_stride, col_stride;
  int64_t K, cols;
  uint32_t* to;

  uint32_t element(int64_t k, int64_t n) const { return k < K && n < cols ? from[k * row_stride + n * col_stride] : 0; }
  /// Pairs [first, last) of columns [begin, end), one by one: for what the vectors leave over.
  void pack_each(int64_t first, int64_t last, int64_t begin, int64_t end) const {
    for (int64_t p = first; p < last; ++p)
      for (int64_t n = begin; n < end; ++n) to[p * block_cols + n] = element(2 * p, n) | element(2 * p + 1, n) << 16;
  }
};

#if HWY_TARGET == HWY_SCALAR
constexpr int64_t cols_a_vector = block_cols + 1;  // no vectors: all is left over
void pack_rows(const Block&, int64_t, int64_t) {}
void pack_columns(const Block&, int64_t, int64_t) {}
#else
// Vectors of 16 bytes whatever the processor: memory sets the pace, and a shuffle of 16 bytes is one instruction.
constexpr int64_t cols_a_vector = 8;

/// Rows one after another: two rows are interleaved.
void pack_rows(const Block& b, int64_t pairs, int64_t cols) {
  const hn::FixedTag<uint16_t, 8> eight;
  for (int64_t p = 0; p < pairs; ++p) {
    const uint16_t *even = b.from + 2 * p * b.row_stride, *odd = even + b.row_stride;
    auto* to = reinterpret_cast<uint16_t*>(b.to + p * block_cols);
    for (int64_t n = 0; n < cols; n += 8) {
      const auto even_row = hn::LoadU(eight, even + n), odd_row = hn::LoadU(eight, odd + n);
      hn::StoreU(hn::InterleaveLower(eight, even_row, odd_row), eight, to + 2 * n);
      hn::StoreU(hn::InterleaveUpper(eight, even_row, odd_row), eight, to + 2 * n + 8);
    }
  }
}

/// Columns one after another, so that pairs are there already: squares of 4 by 4 pairs are transposed.
void pack_columns(const Block& b, int64_t pairs, int64_t cols) {
  const hn::FixedTag<uint32_t, 4> four;
  const hn::FixedTag<uint64_t, 2> two;
  for (int64_t p = 0; p < pairs; p += 4) {
    for (int64_t n = 0; n < cols; n += 4) {
      const auto column = [&](int64_t i) {
        return hn::LoadU(four, reinterpret_cast<const uint32_t*>(b.from + (n + i) * b.col_stride + 2 * p));
      };
      const auto write = [&](int64_t i, auto row) {
        hn::StoreU(hn::BitCast(four, row), four, b.to + (p + i) * block_cols + n);
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

void pack_block(const Block& b) {
  const bool by_rows = b.col_stride == 1;
  const int64_t cols = b.cols / cols_a_vector * cols_a_vector;
  const int64_t pairs = by_rows ? b.K / 2 : b.K / 8 * 4, all_pairs = round_up(b.K, row_granule) / 2;
  by_rows ? pack_rows(b, pairs, cols) : pack_columns(b, pairs, cols);
  b.pack_each(0, pairs, cols, block_cols);
  b.pack_each(pairs, all_pairs, 0, block_cols);
}

}  // namespace

/// The blocks [begin, end).
void pack_blocks(ConstView view, bool transposed, void* to, int64_t begin, int64_t end) {
  const int64_t K = transposed ? view.cols : view.rows, N = transposed ? view.rows : view.cols;
  const int64_t row_stride = transposed ? 1 : view.row_stride, col_stride = transposed ? view.row_stride : 1;
  const int64_t pairs_a_block = round_up(K, row_granule) / 2 * block_cols;
  for (int64_t block = begin; block < end; ++block) {
    const int64_t first = block * block_cols;
    pack_block({.from = static_cast<const uint16_t*>(view.data) + first * col_stride,
                .row_stride = row_stride,
                .col_stride = col_stride,
                .K = K,
                .cols = std::min(block_cols, N - first),
                .to = static_cast<uint32_t*>(to) + block * pairs_a_block});
  }
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(pack_blocks);

int64_t packed_bytes(int64_t K, int64_t N) {
  return round_up(K, packed_row_granule) * round_up(N, packed_block_cols) * size_of(DType::bf16);
}

void pack_factor(int threads, ConstView view, bool transposed, void* to) {
  const int64_t blocks = ceil_div(transposed ? view.rows : view.cols, packed_block_cols);
  parallel_for(threads, blocks, 1, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(pack_blocks)(view, transposed, to, begin, end);
  });
}

}  // namespace tessera
#endif
