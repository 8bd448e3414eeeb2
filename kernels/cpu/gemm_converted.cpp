#include <algorithm>

#include "base/number.h"
#include "device/parallel.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/gemm.h"

/// Products that oneDNN has no fast way for as they stand: bf16 on processors without instructions for it, and bf16
/// slices of columns.  Pieces of the factors, of a size that stays in the cache, are copied to dense matrices, which
/// are bf16 where the processor multiplies that fast and fp32 elsewhere.
namespace tessera {
namespace {

constexpr int64_t piece_m = 256, piece_n = 768, piece_k = 384;

struct Range {
  int64_t begin, count;
};

/// Calls f for the pieces of [0, n) that are `size` long, the last shorter.
template <typename F>
void for_pieces(int64_t n, int64_t size, const F& f) {
  for (int64_t begin = 0; begin < n; begin += size) f(Range{begin, std::min(size, n - begin)});
}

/// to = rows × cols of the factor as a dense matrix of `type`, transposed if the factor is.
void convert_piece(int threads, const Factor& from, Range rows, Range cols, DType type, void* to) {
  const ConstView piece = from.rows_from(rows.begin, rows.count).cols_from(cols.begin, cols.count).view;
  const View dense(to, type, piece.rows, piece.cols);
  parallel_for(threads, piece.rows, 64, [&](int64_t begin, int64_t end) {
    convert(piece.rows_from(begin, end - begin), dense.rows_from(begin, end - begin));
  });
}

/// c = (or +=) sums + bias; sums is overwritten.
void write_result(int threads, View sums, ConstView bias, View c, Write mode) {
  parallel_for(threads, c.rows, 64, [&](int64_t begin, int64_t end) {
    const View mine = sums.rows_from(begin, end - begin), result = c.rows_from(begin, end - begin);
    if (bias)
      for (int64_t r = 0; r < mine.rows; ++r) convert_add(bias, mine.rows_from(r, 1));
    const auto write = mode == Write::accumulate ? convert_add : convert;
    write(mine, result);
  });
}

}  // namespace

void CpuGemm::multiply_converted(const Factor& a, const Factor& b, ConstView bias, View c, Write mode) {
  const int threads = cpu_threads(device_);
  const int64_t K = a.cols();
  const int64_t m = std::min(piece_m, c.rows), n = std::min(piece_n, c.cols), k = std::min(piece_k, K);
  constexpr int64_t floats = piece_m * piece_k + piece_k * piece_n + piece_m * piece_n;
  if (!converted_.data()) converted_ = Buffer(device_, floats * 4, "the pieces of matrix products");
  float* const a_piece = converted_.as<float>();
  float* const b_piece = a_piece + m * k;
  float* const sums = b_piece + k * n;

  for_pieces(c.cols, n, [&](Range cols) {
    for_pieces(c.rows, m, [&](Range rows) {
      for_pieces(K, k, [&](Range inner) {
        ProductShape shape{.M = rows.count,
                           .N = cols.count,
                           .K = inner.count,
                           .a_stride = a.transposed ? rows.count : inner.count,
                           .b_stride = b.transposed ? inner.count : cols.count,
                           .c_stride = cols.count,
                           .a_transposed = a.transposed,
                           .b_transposed = b.transposed,
                           .factors = fast_bf16_ ? a.view.dtype : DType::f32,
                           .result = DType::f32,
                           .with_bias = false,
                           .accumulate = inner.begin > 0,
                           .one_thread = false};
        auto compiled = product(shape);
        if (!compiled->exists()) {
          shape.factors = DType::f32;  // a shape that oneDNN has no brgemm kernel for
          compiled = product(shape);
        }
        convert_piece(threads, a, rows, inner, shape.factors, a_piece);
        convert_piece(threads, b, inner, cols, shape.factors, b_piece);
        run(compiled, a_piece, b_piece, nullptr, sums);
      });
      const ConstView bias_piece = bias ? bias.cols_from(cols.begin, cols.count) : ConstView();
      write_result(threads, View(sums, DType::f32, rows.count, cols.count), bias_piece,
                   c.rows_from(rows.begin, rows.count).cols_from(cols.begin, cols.count), mode);
    });
  });
}

}  // namespace tessera
