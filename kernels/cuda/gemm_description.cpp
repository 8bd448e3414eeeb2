#include "kernels/cuda/gemm_description.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace tessera {
namespace {

/// A single row's stride is nobody's business, but a leading dimension must span a column.
int64_t leading_dimension(const ConstView& view) { return view.rows <= 1 ? view.cols : view.row_stride; }

std::string words(const ConstView& view) {
  return fmt::format("{} [{}, {}] stride {}", name_of(view.dtype), view.rows, view.cols, view.row_stride);
}

/// What is checked of every product: the types, and that rows do not overlap.
void require(bool fits, const char* product, const ConstView& first, const ConstView& second, const ConstView& result) {
  const auto possible = [](const ConstView& view) { return view.rows <= 1 || view.row_stride >= view.cols; };
  const bool types = first.dtype == second.dtype && first.dtype != DType::i32 &&
                     (result.dtype == first.dtype || result.dtype == DType::f32);
  if (fits && types && possible(first) && possible(second) && possible(result)) return;
  throw std::logic_error(
      fmt::format("{}: matrices that do not fit: {}, {} -> {}", product, words(first), words(second), words(result)));
}

GemmDescription product(const ConstView& a, const ConstView& b, const ConstView& added, const ConstView& c) {
  GemmDescription d;
  d.m = c.cols;
  d.n = c.rows;
  d.lda = std::max<int64_t>(leading_dimension(a), 1);
  d.ldb = std::max<int64_t>(leading_dimension(b), 1);
  d.ldc = std::max<int64_t>(leading_dimension(c), 1);
  d.factors = a.dtype;
  d.result = c.dtype;
  d.added = static_cast<bool>(added);
  if (d.added) d.ld_added = std::max<int64_t>(leading_dimension(added), 1);
  return d;
}

}  // namespace

std::string in_words(const GemmDescription& d) {
  const auto factor = [&](int64_t rows, int64_t cols, bool transposed) {
    return transposed ? fmt::format("{} [{}, {}]ᵀ", name_of(d.factors), cols, rows)
                      : fmt::format("{} [{}, {}]", name_of(d.factors), rows, cols);
  };
  return fmt::format("{} x {} -> {} [{}, {}], leading dimensions {}, {}, {}{}{}", factor(d.m, d.k, d.transpose_a),
                     factor(d.k, d.n, d.transpose_b), name_of(d.result), d.m, d.n, d.lda, d.ldb, d.ldc,
                     d.bias ? ", with bias" : "", d.added ? fmt::format(", added to one of {}", d.ld_added) : "");
}

/// y [T, O] = x wᵀ, so yᵀ = w xᵀ: w lies as wᵀ [I, O] and is transposed, x lies as xᵀ [I, T].
GemmDescription describe_linear_forward(ConstView x, ConstView w, ConstView bias, ConstView added, ConstView y) {
  require(x.cols == w.cols && y.rows == x.rows && y.cols == w.rows, "linear_forward", x, w, y);
  GemmDescription d = product(w, x, added, y);
  d.k = x.cols;
  d.transpose_a = true;
  d.bias = static_cast<bool>(bias);
  if (d.bias && (bias.size() != y.cols || bias.dtype != y.dtype))
    throw std::logic_error(
        fmt::format("linear_forward: a bias {} for {}: the library wants it as long as a row, and of "
                    "its type",
                    words(bias), words(y)));
  if (d.added && (added.rows != y.rows || added.cols != y.cols || added.dtype != y.dtype ||
                  (added.rows > 1 && added.row_stride < added.cols)))
    throw std::logic_error(fmt::format("linear_forward: {} cannot be added to a result {}", words(added), words(y)));
  return d;
}

/// dx [T, I] = dy w, so dxᵀ = wᵀ dyᵀ: both lie so.
GemmDescription describe_linear_backward_input(ConstView dy, ConstView w, ConstView dx, Write mode) {
  require(dy.cols == w.rows && dx.rows == dy.rows && dx.cols == w.cols, "linear_backward_input", dy, w, dx);
  GemmDescription d = product(w, dy, addend(dx, mode), dx);
  d.k = dy.cols;
  return d;
}

/// dw [O, I] = dyᵀ x, so dwᵀ = xᵀ dy: x lies as xᵀ [I, T], dy lies as dyᵀ [O, T] and is transposed.
GemmDescription describe_linear_backward_weight(ConstView dy, ConstView x, ConstView dw, Write mode) {
  require(dy.rows == x.rows && dw.rows == dy.cols && dw.cols == x.cols && dw.dtype == DType::f32,
          "linear_backward_weight", dy, x, dw);
  GemmDescription d = product(x, dy, addend(dw, mode), dw);
  d.k = x.rows;
  d.transpose_b = true;
  return d;
}

}  // namespace tessera
