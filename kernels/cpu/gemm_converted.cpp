#include <algorithm>
#include <vector>

#include "base/number.h"
#include "device/parallel.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/gemm.h"

/// Products of bf16 on processors that have no instructions for it: pieces of the factors, of a size that stays in the
/// cache, become fp32 and are multiplied as such.
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

/// Rows × cols of the factor in fp32, laid out as in the factor's view.
Factor convert_piece(int threads, const Factor& from, Range rows, Range cols, float* to) {
  const Range view_rows = from.transposed ? cols : rows, view_cols = from.transposed ? rows : cols;
  const ConstView piece =
      from.view.rows_from(view_rows.begin, view_rows.count).cols_from(view_cols.begin, view_cols.count);
  parallel_for(threads, piece.rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      convert(piece.rows_from(r, 1).data, piece.dtype, to + r * piece.cols, DType::f32, piece.cols);
  });
  return {ConstView(to, DType::f32, piece.rows, piece.cols), from.transposed};
}

/// c = (or +=) sums + bias.
void write_result(int threads, ConstView sums, ConstView bias, View c, Write mode) {
  parallel_for(threads, c.rows, 64, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(c.cols));
    for (int64_t r = begin; r < end; ++r) {
      const void* values = sums.rows_from(r, 1).data;
      if (bias) {
        convert(values, DType::f32, row.data(), DType::f32, c.cols);
        convert_add(bias.data, bias.dtype, row.data(), DType::f32, c.cols);
        values = row.data();
      }
      const auto write = mode == Write::accumulate ? convert_add : convert;
      write(values, DType::f32, c.rows_from(r, 1).data, c.dtype, c.cols);
    }
  });
}

}  // namespace

void CpuGemm::multiply_converted(const Factor& a, const Factor& b, ConstView bias, View c, Write mode) {
  const int threads = cpu_threads(device_);
  const int64_t K = a.cols();
  const int64_t m = std::min(piece_m, c.rows), n = std::min(piece_n, c.cols), k = std::min(piece_k, K);
  constexpr int64_t floats = piece_m * piece_k + piece_k * piece_n + piece_m * piece_n;
  if (!converted_.data()) converted_ = Buffer(device_, floats * 4, "the fp32 pieces of matrix products");
  float* const a_piece = converted_.as<float>();
  float* const b_piece = a_piece + m * k;
  float* const sums = b_piece + k * n;

  for_pieces(c.cols, n, [&](Range cols) {
    for_pieces(c.rows, m, [&](Range rows) {
      for_pieces(K, k, [&](Range inner) {
        const Factor fa = convert_piece(threads, a, rows, inner, a_piece);
        const Factor fb = convert_piece(threads, b, inner, cols, b_piece);
        const auto compiled =
            product({rows.count, cols.count, inner.count, fa.view.row_stride, fb.view.row_stride, cols.count,
                     fa.transposed, fb.transposed, DType::f32, DType::f32, false, inner.begin > 0, false});
        run(*compiled, a_piece, b_piece, nullptr, sums);
      });
      const ConstView bias_piece = bias ? bias.cols_from(cols.begin, cols.count) : ConstView();
      write_result(threads, ConstView(sums, DType::f32, rows.count, cols.count), bias_piece,
                   c.rows_from(rows.begin, rows.count).cols_from(cols.begin, cols.count), mode);
    });
  });
}

}  // namespace tessera
