#include <catch2/catch.hpp>
#include <tuple>

#include "support/kernel_test.h"

namespace tessera::test {
namespace {

constexpr float factor = 0.22f;  // Granite's

Values scaled(Values x) {
  for (double& value : x) value *= static_cast<double>(factor);
  return x;
}

TEMPLATE_TEST_CASE("scale multiplies each element and adds another's, where there is one", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    const DType dtype = dtype_of<TestType>();
    for (const auto& [T, C, slack] : {std::tuple{1, 1, 0}, {7, 67, 3}, {129, 72, 8}, {3, 4104, 8}, {0, 16, 0}}) {
      const Matrix x = Matrix::random(rig, dtype, T, C, 1, slack), added = Matrix::random(rig, dtype, T, C, 2, slack),
                   y(rig, dtype, T, C, slack);
      rig.kernels->residual.scale(*rig.stream, x, factor, {}, y);
      REQUIRE_THAT(y.values(), near(scaled(x.values()), tolerance<TestType>()));
      rig.kernels->residual.scale(*rig.stream, x, factor, added, y);
      REQUIRE_THAT(y.values(), near(scaled(x.values()) + added.values(), tolerance<TestType>()));
      REQUIRE(y.intact());
    }
  });
}

TEMPLATE_TEST_CASE("scale may write over what it reads", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    const DType dtype = dtype_of<TestType>();
    const Matrix x = Matrix::random(rig, dtype, 9, 67, 1, 3), added = Matrix::random(rig, dtype, 9, 67, 2, 3),
                 apart(rig, dtype, 9, 67, 3);
    rig.kernels->residual.scale(*rig.stream, x, factor, added, apart);
    rig.kernels->residual.scale(*rig.stream, x, factor, added, added);
    REQUIRE(added.bits() == apart.bits());
    rig.kernels->residual.scale(*rig.stream, x, factor, {}, apart);
    rig.kernels->residual.scale(*rig.stream, x, factor, {}, x);
    REQUIRE(x.bits() == apart.bits());
  });
}

TEST_CASE("scale and the addition are rounded once", "[kernels]") {
  on_every_device([](Rig& rig) {
    // (1 + 2^-7)² = 1 + 2^-6 + 2^-14, of which bf16 keeps the first two.
    const Matrix x(rig, DType::bf16, 1, 1, {1 + 1.0 / 128}), added(rig, DType::bf16, 1, 1, {-1 - 1.0 / 64}),
        y(rig, DType::bf16, 1, 1);
    rig.kernels->residual.scale(*rig.stream, x, 1 + 1.0f / 128, added, y);
    REQUIRE(y.values()[0] == 1.0 / 16384);
  });
}

}  // namespace
}  // namespace tessera::test
