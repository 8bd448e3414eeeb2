#include <catch2/catch.hpp>
#include <cmath>

#include "support/kernel_test.h"

namespace tessera::test {
namespace {

double silu(double x) { return x / (1 + std::exp(-x)); }
/// torch's gelu(approximate="tanh"), (1 + tanh) / 2 written so that it does not cancel.
double gelu_tanh(double x) {
  return x / (1 + std::exp(-2 * std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
}
double apply(Activation activation, double x) { return activation == Activation::silu ? silu(x) : gelu_tanh(x); }
const std::initializer_list<Activation> activations = {Activation::silu, Activation::gelu_tanh};

/// [T, 2F] -> [T, F].
Values gated(Activation activation, const Values& gate_up, size_t F) {
  Values y;
  for (size_t row = 0; row < gate_up.size(); row += 2 * F)
    for (size_t f = 0; f < F; ++f) y.push_back(apply(activation, gate_up[row + f]) * gate_up[row + F + f]);
  return y;
}

/// claim(rig, activation) for each on every device.
template <typename Claim>
void of_each_activation(const Claim& claim) {
  on_every_device([&](Rig& rig) {
    for (const Activation activation : activations) {
      INFO((activation == Activation::silu ? "silu" : "gelu_tanh"));
      claim(rig, activation);
    }
  });
}

TEST_CASE("gelu_tanh is torch's", "[kernels]") {
  // torch.nn.functional.gelu(x, approximate="tanh") in float64
  on_every_device([](Rig& rig) {
    const Matrix gate_up(rig, DType::f32, 1, 8, {-3, -0.5, 0.7, 2, 1, 1, 1, 1}),
        y = Matrix::zeros(rig, DType::f32, 1, 4);
    rig.kernels->activation.gated_forward(*rig.stream, Activation::gelu_tanh, gate_up, y);
    REQUIRE_THAT(y.values(),
                 near({-0.0036373920817729943, -0.15428599017485606, 0.5305701347051167, 1.954597694087775}, 1e-6));
  });
}

TEMPLATE_TEST_CASE("gated_forward agrees with its formula", "[kernels]", float, bf16) {
  of_each_activation([](Rig& rig, Activation activation) {
    for (const auto& [T, F] : {std::pair{1, 1}, {3, 31}, {31, 33}, {7, 67}, {33, 128}, {257, 3}}) {
      const Matrix gate_up = Matrix::random(rig, dtype_of<TestType>(), T, 2 * F, 1, 3);
      const Matrix y = Matrix::zeros(rig, dtype_of<TestType>(), T, F, 2);
      rig.kernels->activation.gated_forward(*rig.stream, activation, gate_up, y);
      const Values expected = gated(activation, gate_up.values(), static_cast<size_t>(F));
      REQUIRE_THAT(y.values(), near(expected, tolerance<TestType>()));
      REQUIRE(y.intact());
    }
  });
}

TEST_CASE("gated_forward is right to one part in a million from large to small", "[kernels]") {
  of_each_activation([](Rig& rig, Activation activation) {
    constexpr int64_t F = 4001;
    const double widest = activation == Activation::silu ? 80 : 9;  // e^-80, or about
    Values values(2 * F, 1);
    for (size_t f = 0; f < F; ++f) values[f] = widest * (static_cast<double>(f) / 2000 - 1);
    const Matrix gate_up(rig, DType::f32, 1, 2 * F, values), y = Matrix::zeros(rig, DType::f32, 1, F);
    rig.kernels->activation.gated_forward(*rig.stream, activation, gate_up, y);
    const Values gate = gate_up.values(), actual = y.values();
    for (size_t f = 0; f < F; ++f) {
      const double expected = apply(activation, gate[f]);
      INFO(gate[f]);
      REQUIRE(std::abs(actual[f] - expected) <= 1e-6 * std::abs(expected));
    }
  });
}

TEST_CASE("gated_forward passes extreme gates without overflow and NaN as NaN", "[kernels]") {
  of_each_activation([](Rig& rig, Activation activation) {
    const Matrix gate_up(rig, DType::f32, 1, 8, {1e30, -1e30, 200, NAN, 2, 2, 2, 2});
    const Matrix y = Matrix::zeros(rig, DType::f32, 1, 4), dy(rig, DType::f32, 1, 4, {1, 1, 1, 1});
    rig.kernels->activation.gated_forward(*rig.stream, activation, gate_up, y);
    const Values actual = y.values();
    REQUIRE(actual[0] == Approx(2e30));
    REQUIRE(actual[1] == 0);
    REQUIRE(actual[2] == Approx(400));
    REQUIRE(std::isnan(actual[3]));
    rig.kernels->activation.gated_backward(*rig.stream, activation, gate_up, dy, gate_up, y);
    const Values gradient = gate_up.values();
    REQUIRE(gradient[0] == Approx(2));
    REQUIRE(gradient[1] == 0);
    REQUIRE(gradient[2] == Approx(2));
    REQUIRE(std::isnan(gradient[3]));
  });
}

TEMPLATE_TEST_CASE("gated_backward agrees with finite differences", "[kernels]", float, bf16) {
  of_each_activation([](Rig& rig, Activation activation) {
    for (const auto& [T, F] : {std::pair{1, 1}, {3, 67}, {9, 32}}) {
      const DType dtype = dtype_of<TestType>();
      const Matrix gate_up = Matrix::random(rig, dtype, T, 2 * F, 1, 3), dy = Matrix::random(rig, dtype, T, F, 2, 1);
      const Matrix dgate_up = Matrix::zeros(rig, dtype, T, 2 * F, 5), y = Matrix::zeros(rig, dtype, T, F, 3);
      const Values dy_values = dy.values();
      const auto loss = [&](const Values& at) { return dot(gated(activation, at, static_cast<size_t>(F)), dy_values); };
      rig.kernels->activation.gated_backward(*rig.stream, activation, gate_up, dy, dgate_up, y);
      const Values expected = gradient_by_differences(loss, gate_up.values());
      REQUIRE_THAT(dgate_up.values(), near(expected, tolerance<TestType>()));
      REQUIRE(dgate_up.intact());
      REQUIRE(y.intact());
    }
  });
}

TEMPLATE_TEST_CASE("gated_backward makes the product again, bit for bit", "[kernels]", float, bf16) {
  of_each_activation([](Rig& rig, Activation activation) {
    for (const auto& [T, F] : {std::pair{1, 1}, {3, 67}, {9, 32}}) {
      const DType dtype = dtype_of<TestType>();
      const Matrix gate_up = Matrix::random(rig, dtype, T, 2 * F, 1, 3), dy = Matrix::random(rig, dtype, T, F, 2);
      const Matrix first = Matrix::zeros(rig, dtype, T, F), again = Matrix::zeros(rig, dtype, T, F, 3);
      rig.kernels->activation.gated_forward(*rig.stream, activation, gate_up, first);
      rig.kernels->activation.gated_backward(*rig.stream, activation, gate_up, dy, gate_up, again);
      REQUIRE(again.bits() == first.bits());
    }
  });
}

TEMPLATE_TEST_CASE("gated_backward may write over what it reads", "[kernels]", float, bf16) {
  of_each_activation([](Rig& rig, Activation activation) {
    const DType dtype = dtype_of<TestType>();
    const Matrix gate_up = Matrix::random(rig, dtype, 9, 134, 1, 3), dy = Matrix::random(rig, dtype, 9, 67, 2);
    const Matrix apart = Matrix::zeros(rig, dtype, 9, 134), y = Matrix::zeros(rig, dtype, 9, 67);
    rig.kernels->activation.gated_backward(*rig.stream, activation, gate_up, dy, apart, y);
    rig.kernels->activation.gated_backward(*rig.stream, activation, gate_up, dy, gate_up, dy);
    REQUIRE(gate_up.bits() == apart.bits());
    REQUIRE(dy.bits() == y.bits());
    REQUIRE(gate_up.intact());
    REQUIRE(dy.intact());
  });
}

}  // namespace
}  // namespace tessera::test
