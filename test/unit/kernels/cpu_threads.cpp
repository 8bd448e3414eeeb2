#include <catch2/catch.hpp>

#include "support/cpu_rig.h"

namespace tessera::test {
namespace {

TEST_CASE("bias_backward gives the same bits with any number of threads", "[kernels]") {
  const auto sums = [](int threads) {
    Rig rig = cpu_rig(threads);
    const Matrix dy = Matrix::random(rig, DType::bf16, 61, 333, 1), db = Matrix::zeros(rig, DType::f32, 1, 333);
    rig.kernels->linear.bias_backward(*rig.stream, dy, db);
    return db.bits();
  };
  REQUIRE(sums(3) == sums(1));
  REQUIRE(sums(4) == sums(1));
}

TEST_CASE("squared_norm gives the same bits with any number of threads", "[kernels]") {
  const auto norm = [](int threads) {
    Rig rig = cpu_rig(threads);
    const Matrix x = Matrix::random(rig, DType::f32, 1, 500009, 1);
    const Array<double> sum(rig, 1);
    rig.kernels->optimizer.squared_norm(*rig.stream, x.floats(), 500009, sum.data());
    return sum.values()[0];
  };
  REQUIRE(norm(3) == norm(1));
  REQUIRE(norm(4) == norm(1));
}

TEST_CASE("rmsnorm_backward gives the same bits with any number of threads", "[kernels]") {
  const auto gradient_bits = [](int threads) {
    Rig rig = cpu_rig(threads);
    const Matrix x = Matrix::random(rig, DType::bf16, 301, 67, 1), w = Matrix::random(rig, DType::bf16, 1, 67, 2);
    const Matrix dy = Matrix::random(rig, DType::bf16, 301, 67, 3), dw = Matrix::zeros(rig, DType::f32, 1, 67);
    const Array<float> inv_rms(rig, std::vector<float>(301, 0.5f));
    rig.kernels->norm.rmsnorm_backward(*rig.stream, x, w, {1e-5f}, inv_rms.data(), dy, dy, Write::overwrite, dw);
    return std::pair(dy.bits(), dw.bits());
  };
  const auto one = gradient_bits(1);
  REQUIRE(gradient_bits(2) == one);
  REQUIRE(gradient_bits(5) == one);
}

}  // namespace
}  // namespace tessera::test
