#include <bit>
#include <catch2/catch.hpp>

#include "support/kernel_test.h"

namespace tessera::test {
namespace {

/// Every upper half with lower halves around the ties: all exponents, zeros, infinities and NaNs among them.
std::vector<float> interesting_floats() {
  std::vector<float> floats;
  for (uint32_t upper = 0; upper < 0x10000; ++upper)
    for (const uint32_t lower : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
      floats.push_back(std::bit_cast<float>(upper << 16 | lower));
  floats.push_back(1);  // an odd number of them
  return floats;
}

TEST_CASE("cast rounds every kind of float to bf16 as bf16's constructor does", "[kernels]") {
  on_every_device([](Rig& rig) {
    const std::vector<float> floats = interesting_floats();
    const auto n = static_cast<int64_t>(floats.size());
    const Array<float> from(rig, floats);
    const Matrix to = Matrix::zeros(rig, DType::bf16, 1, n);
    rig.kernels->memory.cast(*rig.stream, ConstView(from.data(), DType::f32, 1, n), to);
    const auto actual = to.bits();
    size_t different = 0;
    for (size_t i = 0; i < floats.size(); ++i) different += actual[i] != bf16(floats[i]).bits;
    REQUIRE(different == 0);
  });
}

TEST_CASE("cast widens every bf16 exactly", "[kernels]") {
  on_every_device([](Rig& rig) {
    std::vector<uint16_t> halves(0x10000);
    for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i);
    const Array<uint16_t> from(rig, halves);
    const Matrix to = Matrix::zeros(rig, DType::f32, 1, 0x10000);
    rig.kernels->memory.cast(*rig.stream, ConstView(from.data(), DType::bf16, 1, 0x10000), to);
    const auto actual = to.bits();
    size_t different = 0;
    for (uint32_t i = 0; i < 0x10000; ++i) different += actual[i] != i << 16;
    REQUIRE(different == 0);
  });
}

TEST_CASE("cast between slices of any compute types keeps what the narrower can hold", "[kernels]") {
  on_every_device([](Rig& rig) {
    for (const DType from_type : {DType::f32, DType::bf16}) {
      for (const DType to_type : {DType::f32, DType::bf16}) {
        const Matrix from = Matrix::random(rig, from_type, 9, 67, 1, 3);
        const Matrix to = Matrix::zeros(rig, to_type, 9, 67, 2);
        rig.kernels->memory.cast(*rig.stream, from, to);
        REQUIRE(to.bits() == Matrix(rig, to_type, 9, 67, from.values()).bits());
        REQUIRE(to.intact());
      }
    }
  });
}

TEST_CASE("fill_zero clears the bytes it is given and no more", "[kernels]") {
  on_every_device([](Rig& rig) {
    const Array<char> bytes(rig, std::vector<char>(300001, 'x'));
    rig.kernels->memory.fill_zero(*rig.stream, bytes.data(), 300000);
    std::vector<char> expected(300001);
    expected.back() = 'x';
    REQUIRE((bytes.values() == expected));
  });
}

TEST_CASE("copy copies the bytes it is given and no more", "[kernels]") {
  on_every_device([](Rig& rig) {
    std::vector<char> source(300001);
    for (size_t i = 0; i < source.size(); ++i) source[i] = static_cast<char>(i * 7 % 251);
    const Array<char> from(rig, source), to(rig, 300001);
    rig.kernels->memory.copy(*rig.stream, from.data(), to.data(), 300000);
    source.back() = 0;
    REQUIRE((to.values() == source));
  });
}

}  // namespace
}  // namespace tessera::test
