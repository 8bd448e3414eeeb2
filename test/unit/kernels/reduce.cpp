#include <catch2/catch.hpp>

#include "support/kernel_test.h"

namespace tessera::test {
namespace {

TEMPLATE_TEST_CASE("bias_backward adds the column sums", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    for (const auto& [T, C] : {std::pair{0, 5}, {1, 8}, {3, 1}, {7, 67}, {129, 300}, {600, 33}}) {
      const Matrix dy = Matrix::random(rig, dtype_of<TestType>(), T, C, 1, 3);
      const Matrix db = Matrix::random(rig, DType::f32, 1, C, 2);
      Values expected = db.values();
      const Values dy_values = dy.values();
      for (size_t i = 0; i < dy_values.size(); ++i) expected[i % static_cast<size_t>(C)] += dy_values[i];
      rig.kernels->bias_backward(*rig.stream, dy, db);
      REQUIRE_THAT(db.values(), near(expected, tolerance<float>()));
    }
  });
}

TEST_CASE("squared_norm adds the squares as double does", "[kernels]") {
  on_every_device([](Rig& rig) {
    for (const int64_t n : {0, 1, 3, 31, 33, 257, 1000, 300007}) {
      const Matrix x = Matrix::random(rig, DType::f32, 1, n, 1);
      const Array<double> sum(rig, {2.5});
      rig.kernels->squared_norm(*rig.stream, x.floats(), n, sum.data());
      REQUIRE(sum.values()[0] == Approx(2.5 + dot(x.values(), x.values())).epsilon(1e-12));
    }
  });
}

TEST_CASE("squared_norm neither overflows nor loses what is small", "[kernels]") {
  on_every_device([](Rig& rig) {
    const Matrix x(rig, DType::f32, 1, 3, {1e30, 1e-30, 0}), small(rig, DType::f32, 1, 1, {1e-30});
    const Array<double> sum(rig, 1), small_sum(rig, 1);
    rig.kernels->squared_norm(*rig.stream, x.floats(), 3, sum.data());
    rig.kernels->squared_norm(*rig.stream, small.floats(), 1, small_sum.data());
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
      rig.kernels->squared_norm(*rig.stream, x.floats(), 1000, sum.data());
      REQUIRE(std::isnan(sum.values()[0]) == std::isnan(value));
      REQUIRE_FALSE(std::isfinite(sum.values()[0]));
    }
  });
}

TEST_CASE("squared_norm takes the smallest floats for what they are", "[kernels]") {
  on_every_device([](Rig& rig) {
    const Matrix x(rig, DType::f32, 1, 4, {0, 1e-40, -1e-44, 0});
    const Array<double> sum(rig, 1);
    rig.kernels->squared_norm(*rig.stream, x.floats(), 4, sum.data());
    REQUIRE(sum.values()[0] == Approx(dot(x.values(), x.values())));
  });
}

}  // namespace
}  // namespace tessera::test
