#include "cuda_shim/matrix_products.h"

#include <vector>

namespace tessera::test {
namespace {

/// Element `column * ld + row`.
float element(const void* matrix, DType type, int64_t index) {
  return with_compute_type(type,
                           [&](auto t) { return static_cast<float>(static_cast<const decltype(t)*>(matrix)[index]); });
}

void set_element(void* matrix, DType type, int64_t index, float value) {
  with_compute_type(type, [&](auto t) {
    using T = decltype(t);
    static_cast<T*>(matrix)[index] = static_cast<T>(value);
  });
}

/// op(matrix) as fp32 with `columns` of `rows` elements, dense, so that the innermost loop reads neighbours.
std::vector<float> dense(const void* matrix, DType type, int64_t rows, int64_t columns, int64_t ld, bool by_rows) {
  std::vector<float> values(static_cast<size_t>(rows * columns));
  for (int64_t column = 0; column < columns; ++column)
    for (int64_t row = 0; row < rows; ++row)
      values[static_cast<size_t>(column * rows + row)] =
          element(matrix, type, by_rows ? row * ld + column : column * ld + row);
  return values;
}

}  // namespace

void PlainProducts::run(Stream& stream, const GemmDescription& d, const Operands& operands) {
  if (d.empty()) return;
  stream.enqueue([d, on = operands] {
    // A by rows of op(A), B by columns of op(B): both [.., k].
    const auto rows_of_a = dense(on.a, d.factors, d.k, d.m, d.lda, !d.transpose_a);
    const auto columns_of_b = dense(on.b, d.factors, d.k, d.n, d.ldb, d.transpose_b);
    for (int64_t column = 0; column < d.n; ++column)
      for (int64_t row = 0; row < d.m; ++row) {
        const float *x = &rows_of_a[static_cast<size_t>(row * d.k)],
                    *y = &columns_of_b[static_cast<size_t>(column * d.k)];
        float sum = 0;
        for (int64_t i = 0; i < d.k; ++i) sum += x[i] * y[i];
        if (d.bias) sum += element(on.bias, d.result, row);
        if (d.added) sum += element(on.added, d.result, column * d.ld_added + row);
        set_element(on.c, d.result, column * d.ldc + row, sum);
      }
  });
}

}  // namespace tessera::test
