#include <catch2/catch.hpp>
#include <cmath>

#include "support/kernel_test.h"

namespace tessera::test {
namespace {

constexpr int steps = 5;

AdamWStep step_number(int k) {
  AdamWStep step{};
  step.learning_rate = 1e-2f;
  step.beta1 = 0.9, step.beta2 = 0.95, step.epsilon = 1e-8f, step.weight_decay = 0.1f;
  step.bias_correction1 = static_cast<float>(1 - std::pow(step.beta1, k));
  step.bias_correction2 = static_cast<float>(1 - std::pow(step.beta2, k));
  step.gradient_scale = 0.5f;
  return step;
}

/// The update in double, written from the paper (decoupled decay first, as torch.optim.AdamW).
struct Reference {
  Values p, m, v;

  void update(const AdamWStep& step, const Values& gradient) {
    for (size_t i = 0; i < p.size(); ++i) {
      const double g = gradient[i] * step.gradient_scale, beta1 = step.beta1, beta2 = step.beta2,
                   rate = step.learning_rate;
      p[i] *= 1 - rate * step.weight_decay;
      m[i] = beta1 * m[i] + (1 - beta1) * g;
      v[i] = beta2 * v[i] + (1 - beta2) * g * g;
      const double mean = m[i] / step.bias_correction1, square = v[i] / step.bias_correction2;
      p[i] -= rate * mean / (std::sqrt(square) + step.epsilon);
    }
  }
};

/// A shard of n elements with random weights and zero moments.
struct Shard {
  Shard(Rig& rig_, int64_t n_)
      : rig(rig_),
        n(n_),
        master(Matrix::random(rig, DType::f32, 1, n, 1)),
        exp_avg(Matrix::zeros(rig, DType::f32, 1, n)),
        exp_avg_sq(Matrix::zeros(rig, DType::f32, 1, n)),
        gradient(Matrix::zeros(rig, DType::f32, 1, n)) {}

  void update(int k, View weights) {
    gradient.set(random_values(n, static_cast<uint64_t>(100 + k)));
    rig.kernels->optimizer.adamw(*rig.stream, step_number(k), n, master.floats(), exp_avg.floats(), exp_avg_sq.floats(),
                                 gradient.floats(), weights);
  }

  Rig& rig;
  int64_t n;
  Matrix master, exp_avg, exp_avg_sq, gradient;
};

TEST_CASE("adamw follows the reference for several steps", "[kernels]") {
  on_every_device([](Rig& rig) {
    for (const int64_t n : {1, 67, 50001}) {
      Shard shard(rig, n);
      const auto size = static_cast<size_t>(n);
      Reference reference{shard.master.values(), Values(size), Values(size)};
      for (int k = 1; k <= steps; ++k) {
        shard.update(k, View());
        reference.update(step_number(k), shard.gradient.values());
      }
      REQUIRE_THAT(shard.master.values(), near(reference.p, 1e-6));
      REQUIRE_THAT(shard.exp_avg.values(), near(reference.m, 1e-6));
      REQUIRE_THAT(shard.exp_avg_sq.values(), near(reference.v, 1e-6));
    }
  });
}

TEMPLATE_TEST_CASE("adamw writes the new weights in the compute type", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    Shard shard(rig, 50001);
    const Matrix weights = Matrix::zeros(rig, dtype_of<TestType>(), 1, 50001);
    shard.update(1, weights);
    REQUIRE(weights.bits() == Matrix(rig, dtype_of<TestType>(), 1, 50001, shard.master.values()).bits());
  });
}

TEST_CASE("adamw takes the master weights themselves as fp32 weights", "[kernels]") {
  on_every_device([](Rig& rig) {
    Shard apart(rig, 67), same(rig, 67);
    apart.update(1, View());
    same.update(1, same.master);
    REQUIRE(same.master.bits() == apart.master.bits());
  });
}

TEST_CASE("adamw only decays a weight that has never had a gradient", "[kernels]") {
  on_every_device([](Rig& rig) {
    Shard shard(rig, 3);
    shard.master.set({1, -2, 0});
    rig.kernels->optimizer.adamw(*rig.stream, step_number(1), 3, shard.master.floats(), shard.exp_avg.floats(),
                                 shard.exp_avg_sq.floats(), shard.gradient.floats(), View());
    REQUIRE_THAT(shard.master.values(), near({0.999, -1.998, 0}, 1e-6));
  });
}

TEST_CASE("squared_norm adds the squares as double does", "[kernels]") {
  on_every_device([](Rig& rig) {
    for (const int64_t n : {0, 1, 3, 31, 33, 257, 1000, 300007}) {
      const Matrix x = Matrix::random(rig, DType::f32, 1, n, 1);
      const Array<double> sum(rig, {2.5});
      rig.kernels->optimizer.squared_norm(*rig.stream, x.floats(), n, sum.data());
      REQUIRE(sum.values()[0] == Approx(2.5 + dot(x.values(), x.values())).epsilon(1e-12));
    }
  });
}

TEST_CASE("squared_norm neither overflows nor loses what is small", "[kernels]") {
  on_every_device([](Rig& rig) {
    const Matrix x(rig, DType::f32, 1, 3, {1e30, 1e-30, 0}), small(rig, DType::f32, 1, 1, {1e-30});
    const Array<double> sum(rig, 1), small_sum(rig, 1);
    rig.kernels->optimizer.squared_norm(*rig.stream, x.floats(), 3, sum.data());
    rig.kernels->optimizer.squared_norm(*rig.stream, small.floats(), 1, small_sum.data());
    REQUIRE(sum.values()[0] == Approx(1e60));
    REQUIRE(small_sum.values()[0] == Approx(1e-60));
  });
}

TEST_CASE("squared_norm shows infinity and NaN", "[kernels]") {
  on_every_device([](Rig& rig) {
    for (const double value : {double{INFINITY}, double{NAN}}) {
      Values values = random_values(1000, 1);
      values[517] = value;
      const Matrix x(rig, DType::f32, 1, 1000, values);
      const Array<double> sum(rig, 1);
      rig.kernels->optimizer.squared_norm(*rig.stream, x.floats(), 1000, sum.data());
      REQUIRE(std::isnan(sum.values()[0]) == std::isnan(value));
      REQUIRE_FALSE(std::isfinite(sum.values()[0]));
    }
  });
}

TEST_CASE("squared_norm takes the smallest floats for what they are", "[kernels]") {
  on_every_device([](Rig& rig) {
    const Matrix x(rig, DType::f32, 1, 4, {0, 1e-40, -1e-44, 0});
    const Array<double> sum(rig, 1);
    rig.kernels->optimizer.squared_norm(*rig.stream, x.floats(), 4, sum.data());
    REQUIRE(sum.values()[0] == Approx(dot(x.values(), x.values())));
  });
}

}  // namespace
}  // namespace tessera::test
