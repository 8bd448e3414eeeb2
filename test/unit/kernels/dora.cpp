#include "kernels/dora.h"

#include <catch2/catch.hpp>

#include "support/kernel_test.h"

namespace tessera::test {
namespace {

/// Of the products A and B of r columns that row_scales() gets.
struct Products {
  Matrix w, a, b, wa, aa;

  Products(Rig& rig, DType dtype, int64_t rows, int64_t columns, int64_t r)
      : w(Matrix::random(rig, dtype, rows, columns, 1)),
        a(Matrix::random(rig, dtype, r, columns, 2)),
        b(Matrix::random(rig, dtype, rows, r, 3)),
        wa(rig, DType::f32, rows, r, product(w.values(), a.values(), rows, r, columns)),
        aa(rig, DType::f32, r, r, product(a.values(), a.values(), r, r, columns)) {}

  /// x [n, columns] yᵀ, y [m, columns].
  static Values product(const Values& x, const Values& y, int64_t n, int64_t m, int64_t columns) {
    Values z;
    for (int64_t i = 0; i < n; ++i)
      for (int64_t k = 0; k < m; ++k) {
        double sum = 0;
        for (int64_t c = 0; c < columns; ++c)
          sum += x[static_cast<size_t>(i * columns + c)] * y[static_cast<size_t>(k * columns + c)];
        z.push_back(sum);
      }
    return z;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("dora_row_scales is the magnitude over the length of each row of W + s B A", "[kernels]", float,
                   bf16) {
  on_every_device([](Rig& rig) {
    const DType dtype = dtype_of<TestType>();
    constexpr float s = 0.7f;
    for (const auto& [rows, columns, r] : {std::tuple{1, 1, 1}, {7, 67, 3}, {65, 300, 17}}) {
      const Products p(rig, dtype, rows, columns, r);
      const Matrix magnitude = Matrix::random(rig, dtype, 1, rows, 4), scale(rig, DType::f32, 1, rows),
                   inv_norm(rig, DType::f32, 1, rows);
      rig.kernels->dora.row_scales(*rig.stream, p.w, p.b, magnitude, p.wa, p.aa, s, scale.floats(), inv_norm.floats());
      const Values w = p.w.values(), a = p.a.values(), b = p.b.values();
      Values scales, inverse;
      for (int64_t o = 0; o < rows; ++o) {
        double squares = 0;
        for (int64_t c = 0; c < columns; ++c) {
          double element = w[static_cast<size_t>(o * columns + c)];
          for (int64_t k = 0; k < r; ++k)
            element +=
                static_cast<double>(s) * b[static_cast<size_t>(o * r + k)] * a[static_cast<size_t>(k * columns + c)];
          squares += element * element;
        }
        inverse.push_back(1 / std::sqrt(squares));
        scales.push_back(magnitude.values()[static_cast<size_t>(o)] * inverse.back());
      }
      REQUIRE_THAT(inv_norm.values(), near(inverse, 1e-4));
      REQUIRE_THAT(scale.values(), near(scales, 1e-4));
    }
  });
}

TEMPLATE_TEST_CASE("dora_scale_columns multiplies columns and adds what there is", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    const DType dtype = dtype_of<TestType>();
    for (const auto& [T, rows, slack] : {std::tuple{1, 1, 0}, {9, 67, 3}, {0, 16, 0}}) {
      const Matrix x = Matrix::random(rig, dtype, T, rows, 1, slack), bias = Matrix::random(rig, dtype, 1, rows, 2),
                   added = Matrix::random(rig, dtype, T, rows, 3, slack),
                   scale = Matrix::random(rig, DType::f32, 1, rows, 4), y(rig, dtype, T, rows, slack);
      Values plain, all;
      for (size_t i = 0; i < x.values().size(); ++i) {
        const size_t o = i % static_cast<size_t>(rows);
        plain.push_back(scale.values()[o] * x.values()[i]);
        all.push_back(plain.back() + bias.values()[o] + added.values()[i]);
      }
      rig.kernels->dora.scale_columns(*rig.stream, x, scale.floats(), {}, {}, y);
      REQUIRE_THAT(y.values(), near(plain, tolerance<TestType>()));
      REQUIRE(y.intact());
      rig.kernels->dora.scale_columns(*rig.stream, x, scale.floats(), bias, added, added);
      REQUIRE_THAT(added.values(), near(all, tolerance<TestType>()));
      REQUIRE(added.intact());
    }
  });
}

TEMPLATE_TEST_CASE("dora_magnitude_backward adds each column's products over its norm", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    const DType dtype = dtype_of<TestType>();
    for (const auto& [T, rows, slack] : {std::tuple{1, 1, 0}, {130, 67, 3}, {0, 16, 0}}) {
      const Matrix x = Matrix::random(rig, dtype, T, rows, 1, slack),
                   dy = Matrix::random(rig, dtype, T, rows, 2, slack),
                   inv_norm = Matrix::random(rig, DType::f32, 1, rows, 3),
                   d = Matrix::random(rig, DType::f32, 1, rows, 4);
      Values expected = d.values();
      for (size_t i = 0; i < x.values().size(); ++i) {
        const size_t o = i % static_cast<size_t>(rows);
        expected[o] += inv_norm.values()[o] * x.values()[i] * dy.values()[i];
      }
      rig.kernels->dora.magnitude_backward(*rig.stream, x, dy, inv_norm.floats(), d);
      REQUIRE_THAT(d.values(), near(expected, 1e-4));
    }
  });
}

}  // namespace tessera::test
