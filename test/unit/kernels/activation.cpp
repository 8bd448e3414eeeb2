#include <catch2/catch.hpp>
#include <cmath>

#include "support/kernel_test.h"

namespace tessera::test {
namespace {

double silu(double x) { return x / (1 + std::exp(-x)); }

/// [T, 2F] -> [T, F].
Values swiglu(const Values& gate_up, size_t F) {
  Values y;
  for (size_t row = 0; row < gate_up.size(); row += 2 * F)
    for (size_t f = 0; f < F; ++f) y.push_back(silu(gate_up[row + f]) * gate_up[row + F + f]);
  return y;
}

TEMPLATE_TEST_CASE("swiglu_forward agrees with its formula", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    for (const auto& [T, F] : {std::pair{1, 1}, {3, 31}, {31, 33}, {7, 67}, {33, 128}, {257, 3}}) {
      const Matrix gate_up = Matrix::random(rig, dtype_of<TestType>(), T, 2 * F, 1, 3);
      const Matrix y = Matrix::zeros(rig, dtype_of<TestType>(), T, F, 2);
      rig.kernels->activation.swiglu_forward(*rig.stream, gate_up, y);
      const Values expected = swiglu(gate_up.values(), static_cast<size_t>(F));
      REQUIRE_THAT(y.values(), near(expected, tolerance<TestType>()));
      REQUIRE(y.intact());
    }
  });
}

TEST_CASE("swiglu_forward is right to one part in a million from large to small", "[kernels]") {
  on_every_device([](Rig& rig) {
    constexpr int64_t F = 4001;
    Values values(2 * F, 1);
    for (size_t f = 0; f < F; ++f) values[f] = -80 + 0.04 * static_cast<double>(f);
    const Matrix gate_up(rig, DType::f32, 1, 2 * F, values), y = Matrix::zeros(rig, DType::f32, 1, F);
    rig.kernels->activation.swiglu_forward(*rig.stream, gate_up, y);
    const Values gate = gate_up.values(), actual = y.values();
    for (size_t f = 0; f < F; ++f) REQUIRE(std::abs(actual[f] - silu(gate[f])) <= 1e-6 * std::abs(silu(gate[f])));
  });
}

TEST_CASE("swiglu_forward passes extreme gates without overflow and NaN as NaN", "[kernels]") {
  on_every_device([](Rig& rig) {
    const Matrix gate_up(rig, DType::f32, 1, 8, {1e30, -1e30, 200, NAN, 2, 2, 2, 2});
    const Matrix y = Matrix::zeros(rig, DType::f32, 1, 4);
    rig.kernels->activation.swiglu_forward(*rig.stream, gate_up, y);
    const Values actual = y.values();
    REQUIRE(actual[0] == Approx(2e30));
    REQUIRE(actual[1] == 0);
    REQUIRE(actual[2] == Approx(400));
    REQUIRE(std::isnan(actual[3]));
  });
}

TEMPLATE_TEST_CASE("swiglu_backward agrees with finite differences", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    for (const auto& [T, F] : {std::pair{1, 1}, {3, 67}, {9, 32}}) {
      const DType dtype = dtype_of<TestType>();
      const Matrix gate_up = Matrix::random(rig, dtype, T, 2 * F, 1, 3), dy = Matrix::random(rig, dtype, T, F, 2, 1);
      const Matrix dgate_up = Matrix::zeros(rig, dtype, T, 2 * F, 5), y = Matrix::zeros(rig, dtype, T, F, 3);
      const Values dy_values = dy.values();
      const auto loss = [&](const Values& at) { return dot(swiglu(at, static_cast<size_t>(F)), dy_values); };
      rig.kernels->activation.swiglu_backward(*rig.stream, gate_up, dy, dgate_up, y);
      const Values expected = gradient_by_differences(loss, gate_up.values());
      REQUIRE_THAT(dgate_up.values(), near(expected, tolerance<TestType>()));
      REQUIRE(dgate_up.intact());
      REQUIRE(y.intact());
    }
  });
}

TEMPLATE_TEST_CASE("swiglu_backward makes the product again, bit for bit", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    for (const auto& [T, F] : {std::pair{1, 1}, {3, 67}, {9, 32}}) {
      const DType dtype = dtype_of<TestType>();
      const Matrix gate_up = Matrix::random(rig, dtype, T, 2 * F, 1, 3), dy = Matrix::random(rig, dtype, T, F, 2);
      const Matrix first = Matrix::zeros(rig, dtype, T, F), again = Matrix::zeros(rig, dtype, T, F, 3);
      rig.kernels->activation.swiglu_forward(*rig.stream, gate_up, first);
      rig.kernels->activation.swiglu_backward(*rig.stream, gate_up, dy, gate_up, again);
      REQUIRE(again.bits() == first.bits());
    }
  });
}

TEMPLATE_TEST_CASE("swiglu_backward may write over what it reads", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    const DType dtype = dtype_of<TestType>();
    const Matrix gate_up = Matrix::random(rig, dtype, 9, 134, 1, 3), dy = Matrix::random(rig, dtype, 9, 67, 2);
    const Matrix apart = Matrix::zeros(rig, dtype, 9, 134), y = Matrix::zeros(rig, dtype, 9, 67);
    rig.kernels->activation.swiglu_backward(*rig.stream, gate_up, dy, apart, y);
    rig.kernels->activation.swiglu_backward(*rig.stream, gate_up, dy, gate_up, dy);
    REQUIRE(gate_up.bits() == apart.bits());
    REQUIRE(dy.bits() == y.bits());
    REQUIRE(gate_up.intact());
    REQUIRE(dy.intact());
  });
}

}  // namespace
}  // namespace tessera::test
