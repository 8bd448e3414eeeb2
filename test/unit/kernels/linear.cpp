#include <catch2/catch.hpp>

#include "kernels/cpu/gemm.h"
#include "support/cpu_rig.h"

// older_processor.cpp runs these tests again as on processors where bf16 is multiplied as fp32.
namespace tessera::test {
namespace {

struct Size {
  int64_t T, I, O;
};

/// One of everything, odd numbers, one token, and more than one piece of gemm_converted.cpp in each direction.
const std::vector<Size> sizes = {{1, 1, 1}, {7, 5, 3}, {1, 72, 40}, {33, 17, 129}, {129, 72, 65}, {300, 401, 800}};

/// c[i,j] = Σ_k a(i,k)·b(k,j).
template <typename A, typename B>
Values product(int64_t rows, int64_t inner, int64_t cols, const A& a, const B& b) {
  Values c(static_cast<size_t>(rows * cols));
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t k = 0; k < inner; ++k)
      for (int64_t j = 0; j < cols; ++j) c[static_cast<size_t>(i * cols + j)] += a(i, k) * b(k, j);
  return c;
}

auto element(const Values& values, int64_t cols) {
  return [&values, cols](int64_t r, int64_t c) { return values[static_cast<size_t>(r * cols + c)]; };
}
auto transposed(const Values& values, int64_t cols) {
  return [&values, cols](int64_t r, int64_t c) { return values[static_cast<size_t>(c * cols + r)]; };
}

/// x [T, I], w [O, I], dy [T, O], each with columns of something else beside it.
struct Operands {
  Operands(Rig& rig, DType dtype, Size s)
      : x(Matrix::random(rig, dtype, s.T, s.I, 1, 3)),
        w(Matrix::random(rig, dtype, s.O, s.I, 2, 5)),
        dy(Matrix::random(rig, dtype, s.T, s.O, 3, 1)) {}
  Matrix x, w, dy;
};

Values expected_forward(const Operands& in, Size s) {
  return product(s.T, s.I, s.O, element(in.x.values(), s.I), transposed(in.w.values(), s.I));
}

/// y [rows, bias's columns] with the bias in every row.
Values with_bias(Values y, const Values& bias) {
  for (size_t i = 0; i < y.size(); ++i) y[i] += bias[i % bias.size()];
  return y;
}

template <typename Claim>
void for_every_size(const Claim& claim) {
  on_every_device([&](Rig& rig) {
    for (const Size s : sizes) {
      INFO("T " << s.T << ", I " << s.I << ", O " << s.O);
      claim(rig, s);
    }
  });
}

TEMPLATE_TEST_CASE("linear_forward is x times w transposed", "[kernels][gemm]", float, bf16) {
  const DType dtype = dtype_of<TestType>();
  for_every_size([&](Rig& rig, Size s) {
    const Operands in(rig, dtype, s);
    Matrix y(rig, dtype, s.T, s.O, 2);
    rig.kernels->linear.forward(*rig.stream, in.x, in.w, {}, {}, y);
    REQUIRE_THAT(y.values(), near(expected_forward(in, s), tolerance(dtype)));
    REQUIRE(y.intact());
  });
}

TEMPLATE_TEST_CASE("linear_forward adds the bias to every row", "[kernels][gemm]", float, bf16) {
  const DType dtype = dtype_of<TestType>();
  for_every_size([&](Rig& rig, Size s) {
    const Operands in(rig, dtype, s);
    const Matrix bias = Matrix::random(rig, dtype, 1, s.O, 4);
    Matrix y(rig, dtype, s.T, s.O);
    rig.kernels->linear.forward(*rig.stream, in.x, in.w, bias, {}, y);
    REQUIRE_THAT(y.values(), near(with_bias(expected_forward(in, s), bias.values()), tolerance(dtype)));
  });
}

TEMPLATE_TEST_CASE("linear_forward adds what it is given, a matrix or what y holds", "[kernels][gemm]", float, bf16) {
  const DType dtype = dtype_of<TestType>();
  for_every_size([&](Rig& rig, Size s) {
    for (const DType result : {dtype, DType::f32}) {
      const Operands in(rig, dtype, s);
      const Matrix added = Matrix::random(rig, result, s.T, s.O, 5, 2);
      Matrix y(rig, result, s.T, s.O, 3);
      rig.kernels->linear.forward(*rig.stream, in.x, in.w, {}, added, y);
      const Values product = expected_forward(in, s), once = y.values();
      REQUIRE_THAT(once, near(added.values() + product, tolerance(result)));
      rig.kernels->linear.forward(*rig.stream, in.x, in.w, {}, y, y);
      REQUIRE_THAT(y.values(), near(once + product, tolerance(result)));
      REQUIRE(y.intact());
    }
  });
}

TEMPLATE_TEST_CASE("linear_forward adds a bias and a matrix", "[kernels][gemm]", float, bf16) {
  const DType dtype = dtype_of<TestType>();
  for_every_size([&](Rig& rig, Size s) {
    const Operands in(rig, dtype, s);
    const Matrix bias = Matrix::random(rig, dtype, 1, s.O, 4), added = Matrix::random(rig, dtype, s.T, s.O, 5);
    Matrix y(rig, dtype, s.T, s.O, 2);
    rig.kernels->linear.forward(*rig.stream, in.x, in.w, bias, added, y);
    const Values expected = added.values() + with_bias(expected_forward(in, s), bias.values());
    REQUIRE_THAT(y.values(), near(expected, tolerance(dtype)));
    REQUIRE(y.intact());
  });
}

TEST_CASE("logits of bf16 factors keep fp32", "[kernels][gemm]") {
  for_every_size([&](Rig& rig, Size s) {
    const Operands in(rig, DType::bf16, s);
    Matrix y(rig, DType::f32, s.T, s.O);
    rig.kernels->linear.forward(*rig.stream, in.x, in.w, {}, {}, y);
    REQUIRE_THAT(y.values(), near(expected_forward(in, s), tolerance(DType::f32)));
  });
}

TEMPLATE_TEST_CASE("linear_backward_input is dy times w", "[kernels][gemm]", float, bf16) {
  const DType dtype = dtype_of<TestType>();
  for_every_size([&](Rig& rig, Size s) {
    for (const Write mode : {Write::overwrite, Write::accumulate}) {
      const Operands in(rig, dtype, s);
      Matrix dx = Matrix::random(rig, dtype, s.T, s.I, 5, 4);
      Values expected = product(s.T, s.O, s.I, element(in.dy.values(), s.O), element(in.w.values(), s.I));
      if (mode == Write::accumulate) expected = expected + dx.values();
      rig.kernels->linear.backward_input(*rig.stream, in.dy, in.w, dx, mode);
      REQUIRE_THAT(dx.values(), near(expected, tolerance(dtype)));
      REQUIRE(dx.intact());
    }
  });
}

TEMPLATE_TEST_CASE("linear_backward_weight writes or adds dy transposed times x in fp32", "[kernels][gemm]", float,
                   bf16) {
  const DType dtype = dtype_of<TestType>();
  for_every_size([&](Rig& rig, Size s) {
    const Operands in(rig, dtype, s);
    Matrix added = Matrix::random(rig, DType::f32, s.O, s.I, 5, 2),
           written = Matrix::random(rig, DType::f32, s.O, s.I, 6);
    const Values before = added.values();
    rig.kernels->linear.backward_weight(*rig.stream, in.dy, in.x, added, Write::accumulate);
    rig.kernels->linear.backward_weight(*rig.stream, in.dy, in.x, written, Write::overwrite);
    const Values expected = product(s.O, s.T, s.I, transposed(in.dy.values(), s.O), element(in.x.values(), s.I));
    REQUIRE_THAT(added.values(), near(before + expected, tolerance(DType::f32)));
    REQUIRE_THAT(written.values(), near(expected, tolerance(DType::f32)));
    REQUIRE(added.intact());
  });
}

TEST_CASE("linear_forward takes more weights than are packed at once", "[kernels][gemm]") {
  Rig rig = cpu_rig(2);
  const Size s{128, 4001, 601}, first_rows{2, s.I, s.O};  // 512 outputs at once
  const Operands in(rig, DType::bf16, s);
  const Matrix bias = Matrix::random(rig, DType::bf16, 1, s.O, 4), added = Matrix::random(rig, DType::f32, s.T, s.O, 5);
  Matrix y(rig, DType::f32, s.T, s.O, 2);
  rig.kernels->linear.forward(*rig.stream, in.x, in.w, bias, added, y);
  const Values product = with_bias(expected_forward(in, first_rows), bias.values());
  Values actual = y.values(), before = added.values();
  actual.resize(product.size());
  before.resize(product.size());
  const Values expected = before + product;
  REQUIRE_THAT(actual, near(expected, tolerance(DType::f32)));
  REQUIRE(y.intact());
}

TEST_CASE("linear_backward_input sums over more outputs than are packed at once", "[kernels][gemm]") {
  Rig rig = cpu_rig(2);
  const Size s{128, 3, 33001};
  const auto mode = GENERATE(Write::overwrite, Write::accumulate);
  const auto result = GENERATE(DType::bf16, DType::f32);
  const Operands in(rig, DType::bf16, s);
  Matrix dx = Matrix::random(rig, result, s.T, s.I, 5, 4);
  Values expected = product(s.T, s.O, s.I, element(in.dy.values(), s.O), element(in.w.values(), s.I));
  if (mode == Write::accumulate) expected = expected + dx.values();
  rig.kernels->linear.backward_input(*rig.stream, in.dy, in.w, dx, mode);
  REQUIRE_THAT(dx.values(), near(expected, tolerance(result)));
  REQUIRE(dx.intact());
}

TEST_CASE("products of no tokens add nothing, and are zero", "[kernels][gemm]") {
  on_every_device([&](Rig& rig) {
    const Operands in(rig, DType::bf16, {0, 8, 4});
    Matrix dw = Matrix::random(rig, DType::f32, 4, 8, 5, 3);
    const Values before = dw.values();
    Matrix y(rig, DType::bf16, 0, 4), dx(rig, DType::bf16, 0, 8);
    rig.kernels->linear.forward(*rig.stream, in.x, in.w, {}, {}, y);
    rig.kernels->linear.backward_input(*rig.stream, in.dy, in.w, dx, Write::overwrite);
    rig.kernels->linear.backward_weight(*rig.stream, in.dy, in.x, dw, Write::accumulate);
    rig.stream->synchronize();
    REQUIRE(dw.values() == before);
    rig.kernels->linear.backward_weight(*rig.stream, in.dy, in.x, dw, Write::overwrite);
    REQUIRE(dw.values() == Values(before.size()));
    REQUIRE(dw.intact());
  });
}

TEMPLATE_TEST_CASE("the same product gives the same bits again", "[kernels][gemm]", float, bf16) {
  on_every_device([&](Rig& rig) {
    const Size s{129, 300, 72};
    const Operands in(rig, dtype_of<TestType>(), s);
    Matrix first = Matrix::zeros(rig, DType::f32, s.O, s.I), second = Matrix::zeros(rig, DType::f32, s.O, s.I);
    rig.kernels->linear.backward_weight(*rig.stream, in.dy, in.x, first, Write::accumulate);
    rig.kernels->linear.backward_weight(*rig.stream, in.dy, in.x, second, Write::accumulate);
    REQUIRE(first.bits() == second.bits());
  });
}

TEST_CASE("a product of matrices that do not fit is refused with their sizes", "[kernels][gemm]") {
  Rig rig = cpu_rig(1);
  const Operands in(rig, DType::f32, {2, 3, 4});
  Matrix y(rig, DType::f32, 2, 5);
  rig.kernels->linear.forward(*rig.stream, in.x, in.w, {}, {}, y);
  REQUIRE_THROWS_WITH(rig.stream->synchronize(), Catch::Contains("[2, 3]") && Catch::Contains("[2, 5]"));
}

TEST_CASE("what is added to a product is as large as it and of its type", "[kernels][gemm]") {
  Rig rig = cpu_rig(1);
  const Operands in(rig, DType::bf16, {2, 3, 4});
  Matrix y(rig, DType::bf16, 2, 4);
  const auto refused = [&](const Matrix& added) {
    rig.kernels->linear.forward(*rig.stream, in.x, in.w, {}, added, y);
    REQUIRE_THROWS_WITH(rig.stream->synchronize(), Catch::Contains("cannot be added"));
  };
  refused(Matrix::random(rig, DType::bf16, 2, 5, 6));
  refused(Matrix::random(rig, DType::bf16, 1, 4, 6));
  refused(Matrix::random(rig, DType::f32, 2, 4, 6));
}

TEST_CASE("a compiled product is kept for the next time and dropped when many others came since", "[kernels][gemm]") {
  const auto device = make_cpu_device(1);
  CpuGemm gemm(*device);
  const auto shape = [](int64_t M) {
    return ProductShape{M, 8, 8, 8, 8, 8, false, false, DType::f32, DType::f32, false, false, false};
  };
  const std::weak_ptr<const Product> first = gemm.product(shape(1));
  REQUIRE(gemm.product(shape(1)) == first.lock());
  for (int64_t M = 2; M < 300; ++M) gemm.product(shape(M));
  REQUIRE(first.expired());
}

TEMPLATE_TEST_CASE("bias_backward adds the column sums", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    for (const auto& [T, C] : {std::pair{0, 5}, {1, 8}, {3, 1}, {7, 67}, {129, 300}, {600, 33}}) {
      const Matrix dy = Matrix::random(rig, dtype_of<TestType>(), T, C, 1, 3);
      const Matrix db = Matrix::random(rig, DType::f32, 1, C, 2);
      Values expected = db.values();
      const Values dy_values = dy.values();
      for (size_t i = 0; i < dy_values.size(); ++i) expected[i % static_cast<size_t>(C)] += dy_values[i];
      rig.kernels->linear.bias_backward(*rig.stream, dy, db);
      REQUIRE_THAT(db.values(), near(expected, tolerance<float>()));
    }
  });
}

}  // namespace
}  // namespace tessera::test
