#include <catch2/catch.hpp>
#include <cmath>
#include <tuple>

#include "support/kernel_test.h"

namespace tessera::test {
namespace {

constexpr float eps = 1e-5f;

/// y[t, h, :] = x / rms(x) · w for the pieces of w.size() elements that x consists of.
Values rmsnorm(const Values& x, const Values& w) {
  Values y(x.size());
  for (size_t piece = 0; piece < x.size(); piece += w.size()) {
    double squares = 0;
    for (size_t i = 0; i < w.size(); ++i) squares += x[piece + i] * x[piece + i];
    const double r = 1 / std::sqrt(squares / static_cast<double>(w.size()) + static_cast<double>(eps));
    for (size_t i = 0; i < w.size(); ++i) y[piece + i] = x[piece + i] * r * w[i];
  }
  return y;
}

/// dL/dx of L = Σ dy·rmsnorm(x), piece by piece.
Values input_gradient(const Values& x, const Values& w, const Values& dy) {
  Values dx;
  for (size_t piece = 0; piece < x.size(); piece += w.size()) {
    const auto part = [&](const Values& all) {
      const auto first = all.begin() + static_cast<int64_t>(piece);
      return Values(first, first + static_cast<int64_t>(w.size()));
    };
    const Values piece_dy = part(dy);
    const Values gradient =
        gradient_by_differences([&](const Values& at) { return dot(rmsnorm(at, w), piece_dy); }, part(x));
    dx.insert(dx.end(), gradient.begin(), gradient.end());
  }
  return dx;
}

Values weight_gradient(const Values& x, const Values& w, const Values& dy) {
  return gradient_by_differences([&](const Values& at) { return dot(rmsnorm(x, at), dy); }, w);
}

/// One call's matrices; every one a slice.
struct Case {
  Case(Rig& rig_, DType dtype, int64_t T, int64_t heads, int64_t D)
      : rig(rig_),
        x(Matrix::random(rig, dtype, T, heads * D, 1, 3)),
        w(Matrix::random(rig, dtype, 1, D, 2)),
        dy(Matrix::random(rig, dtype, T, heads * D, 3, 5)),
        y(Matrix::zeros(rig, dtype, T, heads * D, 1)),
        dx(Matrix::random(rig, dtype, T, heads * D, 4, 2)),
        dw(Matrix::random(rig, DType::f32, 1, D, 5)),
        inv_rms(rig, T * heads) {}

  void forward() { rig.kernels->norm.rmsnorm_forward(*rig.stream, x, w, {eps}, {}, y, inv_rms.data()); }
  void backward(Write mode) {
    forward();
    rig.kernels->norm.rmsnorm_backward(*rig.stream, x, w, {eps}, inv_rms.data(), dy, dx, mode, dw);
  }

  Rig& rig;
  Matrix x, w, dy, y, dx, dw;
  Array<float> inv_rms;
};

const std::initializer_list<std::pair<int64_t, int64_t>> sizes = {{1, 8},    {3, 31},   {31, 3}, {7, 67},
                                                                  {129, 72}, {35, 131}, {2, 257}};

TEMPLATE_TEST_CASE("rmsnorm_forward agrees with its formula", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    for (const auto& [T, C] : sizes) {
      Case c(rig, dtype_of<TestType>(), T, 1, C);
      c.forward();
      REQUIRE_THAT(c.y.values(), near(rmsnorm(c.x.values(), c.w.values()), tolerance<TestType>()));
      REQUIRE(c.y.intact());
    }
  });
}

TEMPLATE_TEST_CASE("rmsnorm_forward may write over its input", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    Case c(rig, dtype_of<TestType>(), 5, 1, 67);
    c.forward();
    rig.kernels->norm.rmsnorm_forward(*rig.stream, c.x, c.w, {eps}, {}, c.x, c.inv_rms.data());
    REQUIRE(c.x.bits() == c.y.bits());
  });
}

TEST_CASE("rmsnorm_forward keeps 1/rms for the backward pass", "[kernels]") {
  on_every_device([](Rig& rig) {
    Case c(rig, DType::f32, 2, 1, 2);
    c.x.set({3, 4, 0, 0});
    c.forward();
    const std::vector<float> r = c.inv_rms.values();
    REQUIRE(r[0] == Approx(1 / std::sqrt(12.5 + eps)));
    REQUIRE(r[1] == Approx(1 / std::sqrt(static_cast<double>(eps))));
  });
}

TEMPLATE_TEST_CASE("rmsnorm_backward agrees with finite differences", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    for (const auto& [T, C] : sizes) {
      Case c(rig, dtype_of<TestType>(), T, 1, C);
      const Values x = c.x.values(), w = c.w.values(), dy = c.dy.values(), dw = c.dw.values();
      c.backward(Write::overwrite);
      REQUIRE_THAT(c.dx.values(), near(input_gradient(x, w, dy), tolerance<TestType>()));
      REQUIRE_THAT(c.dw.values(), near(dw + weight_gradient(x, w, dy), tolerance<float>()));
      REQUIRE(c.dx.intact());
    }
  });
}

TEMPLATE_TEST_CASE("rmsnorm_backward adds to dx when asked to", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    Case c(rig, dtype_of<TestType>(), 7, 1, 67);
    const Values before = c.dx.values();
    c.backward(Write::accumulate);
    const Values expected = before + input_gradient(c.x.values(), c.w.values(), c.dy.values());
    REQUIRE_THAT(c.dx.values(), near(expected, tolerance<TestType>()));
  });
}

TEMPLATE_TEST_CASE("rmsnorm_backward may write over dy", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    Case apart(rig, dtype_of<TestType>(), 35, 1, 67), over(rig, dtype_of<TestType>(), 35, 1, 67);
    apart.backward(Write::overwrite);
    over.forward();
    rig.kernels->norm.rmsnorm_backward(*rig.stream, over.x, over.w, {eps}, over.inv_rms.data(), over.dy, over.dy,
                                       Write::overwrite, over.dw);
    REQUIRE(over.dy.bits() == apart.dx.bits());
    REQUIRE(over.dw.bits() == apart.dw.bits());
  });
}

TEMPLATE_TEST_CASE("rmsnorm_forward normalises each head by itself where its weight is a head's", "[kernels]", float,
                   bf16) {
  on_every_device([](Rig& rig) {
    for (const auto& [T, heads, D] : {std::tuple{1, 1, 16}, {5, 3, 24}, {33, 2, 128}, {4, 9, 7}}) {
      Case c(rig, dtype_of<TestType>(), T, heads, D);
      c.forward();
      REQUIRE_THAT(c.y.values(), near(rmsnorm(c.x.values(), c.w.values()), tolerance<TestType>()));
      REQUIRE(c.y.intact());
    }
  });
}

TEMPLATE_TEST_CASE("rmsnorm_backward of each head agrees with finite differences", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    for (const auto& [T, heads, D] : {std::tuple{1, 1, 16}, {5, 3, 24}, {67, 2, 20}}) {
      Case c(rig, dtype_of<TestType>(), T, heads, D);
      const Values x = c.x.values(), w = c.w.values(), dy = c.dy.values(), dw = c.dw.values();
      c.forward();
      rig.kernels->norm.rmsnorm_backward(*rig.stream, c.x, c.w, {eps}, c.inv_rms.data(), c.dy, c.dy, Write::overwrite,
                                         c.dw);
      REQUIRE_THAT(c.dy.values(), near(input_gradient(x, w, dy), tolerance<TestType>()));
      REQUIRE_THAT(c.dw.values(), near(dw + weight_gradient(x, w, dy), tolerance<float>()));
      REQUIRE(c.dy.intact());
    }
  });
}

/// As a model keeps its weights that has them less 1.
Values less_one(Values w) {
  for (double& value : w) value -= 1;
  return w;
}
Values more_one(Values w) {
  for (double& value : w) value += 1;
  return w;
}

TEMPLATE_TEST_CASE("rmsnorm with a weight offset is rmsnorm with the weight and that in fp32", "[kernels]", float,
                   bf16) {
  on_every_device([](Rig& rig) {
    const DType dtype = dtype_of<TestType>();
    for (const auto& [T, heads, D] : {std::tuple{7, 1, 67}, {129, 1, 72}, {5, 3, 24}}) {
      Case c(rig, dtype, T, heads, D);
      c.w.set(less_one(c.w.values()));  // rounds them in bf16: what counts is what is kept
      const Values x = c.x.values(), w = more_one(c.w.values()), dy = c.dy.values(), dw = c.dw.values();
      const RmsNorm norm{.eps = eps, .weight_offset = 1};
      rig.kernels->norm.rmsnorm_forward(*rig.stream, c.x, c.w, norm, {}, c.y, c.inv_rms.data());
      rig.kernels->norm.rmsnorm_backward(*rig.stream, c.x, c.w, norm, c.inv_rms.data(), c.dy, c.dx, Write::overwrite,
                                         c.dw);
      REQUIRE_THAT(c.y.values(), near(rmsnorm(x, w), tolerance<TestType>()));
      REQUIRE_THAT(c.dx.values(), near(input_gradient(x, w, dy), tolerance<TestType>()));
      REQUIRE_THAT(c.dw.values(), near(dw + weight_gradient(x, w, dy), tolerance<float>()));
    }
  });
}

TEST_CASE("a weight and its offset are added in fp32", "[kernels]") {
  on_every_device([](Rig& rig) {
    constexpr int64_t C = 64;
    const Matrix x(rig, DType::bf16, 1, C, Values(C, 0.75)), w(rig, DType::bf16, 1, C, Values(C, 1.0 / 512));
    const Matrix y = Matrix::zeros(rig, DType::bf16, 1, C);
    const Array<float> inv_rms(rig, 1);
    rig.kernels->norm.rmsnorm_forward(*rig.stream, x, w, {.eps = 0, .weight_offset = 511.0f / 512}, {}, y,
                                      inv_rms.data());
    REQUIRE(y.values() == Values(C, 1));  // bf16 has no 511/512
  });
}

TEMPLATE_TEST_CASE("rmsnorm_forward adds the norm to another matrix, or to what y holds", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    const DType dtype = dtype_of<TestType>();
    for (const auto& [T, heads, D] : {std::tuple{1, 1, 8}, {7, 1, 67}, {129, 1, 72}, {2, 1, 257}, {5, 3, 24}}) {
      Case c(rig, dtype, T, heads, D);
      const Matrix added = Matrix::random(rig, dtype, T, heads * D, 6, 4);
      const Matrix onto(rig, dtype, T, heads * D, added.values(), 7);
      const Values expected = added.values() + rmsnorm(c.x.values(), c.w.values());
      rig.kernels->norm.rmsnorm_forward(*rig.stream, c.x, c.w, {eps}, added, c.y, c.inv_rms.data());
      rig.kernels->norm.rmsnorm_forward(*rig.stream, c.x, c.w, {eps}, onto, onto, c.inv_rms.data());
      REQUIRE_THAT(c.y.values(), near(expected, tolerance<TestType>()));
      REQUIRE(onto.bits() == c.y.bits());
      REQUIRE(onto.intact());
      REQUIRE(added.intact());
    }
  });
}

TEMPLATE_TEST_CASE("rmsnorm takes q and k whole, where they lie beside each other", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    const DType dtype = dtype_of<TestType>();
    constexpr int64_t T = 37, q = 3 * 22, k = 22, v = 22;
    const Matrix qkv = Matrix::random(rig, dtype, T, q + k + v, 1, 2),
                 dqkv = Matrix::random(rig, dtype, T, q + k + v, 2);
    const Matrix w_q = Matrix::random(rig, dtype, 1, q, 3), w_k = Matrix::random(rig, dtype, 1, k, 4);
    const Matrix dw = Matrix::zeros(rig, DType::f32, 1, q), y = Matrix::zeros(rig, dtype, T, q + k + v);
    const Array<float> inv_rms(rig, T);
    const auto columns = [](const Matrix& m, int64_t first, int64_t count) {
      const Values all = m.values();
      const int64_t width = m.view().cols;
      Values part;
      for (int64_t t = 0; t < T; ++t)
        part.insert(part.end(), all.begin() + t * width + first, all.begin() + t * width + first + count);
      return part;
    };
    const Values v_before = columns(dqkv, q + k, v), dq = columns(dqkv, 0, q);
    const Values gradient = input_gradient(columns(qkv, 0, q), w_q.values(), dq);
    NormKernels& norm = rig.kernels->norm;
    norm.rmsnorm_forward(*rig.stream, qkv.view().cols_from(q, k), w_k, {eps}, {}, y.view().cols_from(q, k),
                         inv_rms.data());
    norm.rmsnorm_forward(*rig.stream, qkv.view().cols_from(0, q), w_q, {eps}, {}, y.view().cols_from(0, q),
                         inv_rms.data());
    norm.rmsnorm_backward(*rig.stream, qkv.view().cols_from(0, q), w_q, {eps}, inv_rms.data(),
                          dqkv.view().cols_from(0, q), dqkv.view().cols_from(0, q), Write::overwrite, dw);
    REQUIRE_THAT(columns(y, 0, q), near(rmsnorm(columns(qkv, 0, q), w_q.values()), tolerance<TestType>()));
    REQUIRE_THAT(columns(y, q, k), near(rmsnorm(columns(qkv, q, k), w_k.values()), tolerance<TestType>()));
    REQUIRE(columns(y, q + k, v) == Values(static_cast<size_t>(T * v)));
    REQUIRE_THAT(columns(dqkv, 0, q), near(gradient, tolerance<TestType>()));
    REQUIRE_THAT(dw.values(), near(weight_gradient(columns(qkv, 0, q), w_q.values(), dq), tolerance<float>()));
    REQUIRE(columns(dqkv, q + k, v) == v_before);
  });
}

TEST_CASE("the norms of no tokens change nothing", "[kernels]") {
  on_every_device([](Rig& rig) {
    Case c(rig, DType::f32, 0, 1, 16);
    const auto before = c.dw.bits();
    c.backward(Write::overwrite);
    REQUIRE(c.dw.bits() == before);
  });
}

}  // namespace
}  // namespace tessera::test
