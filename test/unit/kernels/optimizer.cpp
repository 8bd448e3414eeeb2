#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "kernels/dynamic_map.h"
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

namespace {

/// A state in 8 bits on a device, zeros at first.
struct EightBits {
  EightBits(Rig& rig, bool is_signed_, int64_t n)
      : is_signed(is_signed_),
        codes(rig, std::vector<uint8_t>(static_cast<size_t>(n), zero())),
        absmax(rig, (n + state_block - 1) / state_block) {}

  uint8_t zero() const {
    const auto& map = dynamic_map(is_signed);
    return static_cast<uint8_t>(std::find(map.begin(), map.end(), 0.0f) - map.begin());
  }
  BlockState state() const { return {codes.data(), absmax.data()}; }
  Values values() const {
    const std::vector<uint8_t> all_codes = codes.values();
    const std::vector<float> scales = absmax.values();
    Values decoded;
    for (size_t i = 0; i < all_codes.size(); ++i)
      decoded.push_back(static_cast<double>(dynamic_map(is_signed)[all_codes[i]]) * scales[i / state_block]);
    return decoded;
  }
  /// The kept numbers are the nearest that there are to `exact`, in units of the largest of their block.
  bool is_nearest_to(const Values& exact) const {
    const Values kept = values();
    for (size_t i = 0; i < kept.size(); ++i) {
      double largest = 0, least = 1e30;
      const size_t first = i / state_block * state_block;
      for (size_t k = first; k < std::min(first + state_block, kept.size()); ++k)
        largest = std::max(largest, std::abs(exact[k]));
      for (const float number : dynamic_map(is_signed)) least = std::min(least, std::abs(number * largest - exact[i]));
      if (std::abs(kept[i] - exact[i]) > least + 1e-6 * largest) return false;
    }
    return true;
  }

  bool is_signed;
  Array<uint8_t> codes;
  Array<float> absmax;
};

}  // namespace

TEST_CASE("adamw_8bit is adamw from the numbers that were kept, and keeps the nearest", "[kernels]") {
  on_every_device([](Rig& rig) {
    for (const int64_t n : {1, 255, 256, 257, 5003}) {
      INFO(n << " elements");
      const Matrix master = Matrix::random(rig, DType::f32, 1, n, 1), weights = Matrix::zeros(rig, DType::bf16, 1, n);
      const EightBits exp_avg(rig, true, n), exp_avg_sq(rig, false, n);
      for (int k = 1; k <= 3; ++k) {
        const Matrix gradient = Matrix::random(rig, DType::f32, 1, n, static_cast<uint64_t>(100 + k));
        Reference reference{master.values(), exp_avg.values(), exp_avg_sq.values()};
        rig.kernels->optimizer.adamw_8bit(*rig.stream, step_number(k), n, master.floats(), exp_avg.state(),
                                          exp_avg_sq.state(), gradient.floats(), weights);
        reference.update(step_number(k), gradient.values());
        REQUIRE_THAT(master.values(), near(reference.p, 1e-6));
        REQUIRE(exp_avg.is_nearest_to(reference.m));
        REQUIRE(exp_avg_sq.is_nearest_to(reference.v));
        REQUIRE(weights.bits() == Matrix(rig, DType::bf16, 1, n, master.values()).bits());
      }
    }
  });
}

TEST_CASE("a block of zeros stays zeros", "[kernels]") {
  on_every_device([](Rig& rig) {
    const EightBits exp_avg(rig, true, 300), exp_avg_sq(rig, false, 300);
    const Matrix master = Matrix::zeros(rig, DType::f32, 1, 300), gradient = Matrix::zeros(rig, DType::f32, 1, 300);
    rig.kernels->optimizer.adamw_8bit(*rig.stream, step_number(1), 300, master.floats(), exp_avg.state(),
                                      exp_avg_sq.state(), gradient.floats(), View());
    REQUIRE(exp_avg.codes.values() == std::vector<uint8_t>(300, exp_avg.zero()));
    REQUIRE(exp_avg.absmax.values() == std::vector<float>{0, 0});
    REQUIRE(exp_avg_sq.values() == Values(300));
  });
}

TEST_CASE("the dynamic maps are in order, from one end of their range to the other", "[kernels]") {
  for (const bool is_signed : {true, false}) {
    const auto& map = dynamic_map(is_signed);
    REQUIRE(std::is_sorted(map.begin(), map.end()));
    REQUIRE(std::adjacent_find(map.begin(), map.end()) == map.end());
    REQUIRE(map.back() == 1);
    REQUIRE(std::find(map.begin(), map.end(), 0.0f) != map.end());
    REQUIRE(map.front() == (is_signed ? Approx(-0.99296875) : Approx(0)));
  }
}

TEST_CASE("the nearest code is found as by comparing all", "[kernels]") {
  for (const bool is_signed : {true, false}) {
    const auto& map = dynamic_map(is_signed);
    const auto nearest_of_all = [&](float x) {
      size_t best = 0;
      for (size_t i = 1; i < map.size(); ++i)
        if (std::abs(x - map[i]) < std::abs(x - map[best])) best = i;
      return best;
    };
    const auto agrees = [&](float x) { return nearest_code(is_signed)(x) == nearest_of_all(x); };
    for (const float number : map) REQUIRE(agrees(number));
    for (size_t i = 1; i < map.size(); ++i) {
      const float middle = map[i - 1] + (map[i] - map[i - 1]) / 2;
      for (const float x : {std::nextafter(middle, -2.0f), middle, std::nextafter(middle, 2.0f)}) REQUIRE(agrees(x));
    }
    std::mt19937 random(1);
    for (int i = 0; i < 100000; ++i) {
      const float x = std::pow(10.0f, -9.0f * static_cast<float>(random() % 1000) / 1000) *
                      static_cast<float>(random() % 1001) / 1000;
      REQUIRE(agrees(is_signed && i % 2 ? -x : x));
    }
    for (const float x : {0.0f, -0.0f, 1.0f, -1.0f, 1e-30f, -1e-30f}) REQUIRE(agrees(x));
  }
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
