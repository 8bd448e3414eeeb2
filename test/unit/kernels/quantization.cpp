#include "kernels/quantization.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <random>

#include "kernels/dynamic_map.h"
#include "support/kernel_test.h"

namespace tessera::test {
namespace {

/// Three blocks and a shorter one, of numbers that float division gives alike anywhere.
std::vector<float> golden_input() {
  std::vector<float> x;
  for (int i = 0; i < 203; ++i)
    x.push_back(static_cast<float>(i * 7919 % 2001 - 1000) / 1000.0f * static_cast<float>(1 + i % 5));
  return x;
}

/// What bitsandbytes 0.50's quantize_4bit makes of it (blocksize 64, nf4, compress_statistics False).
constexpr const char* golden_codes =
    "5bdde8aaaa77765654315421f9bcdd899987765465321531ef9abcc8888776543643105cdee9aabb8877576432642109bcdd89a99776546542"
    "15"
    "32ef9bbcc88988766436431053dee9abbb888767653264210abdde89aaa77765654215321f9beff9aba97657";
const std::vector<float> golden_absmax = {0x1.33d70ap+2f, 0x1.3b851ep+2f, 0x1.2e147cp+2f, 0x1.4c28f6p+1f};

struct Quantized {
  std::vector<uint8_t> codes;
  std::vector<float> absmax;
};
Quantized quantized(const std::vector<float>& x) {
  const auto n = static_cast<int64_t>(x.size());
  Quantized made{std::vector<uint8_t>(static_cast<size_t>((n + 1) / 2)), {}};
  for (int64_t i = 0; i < n; i += nf4_block)
    made.absmax.push_back(quantize_nf4_block(x.data() + i, std::min(nf4_block, n - i), made.codes.data() + i / 2));
  return made;
}

std::vector<float> random_floats(int64_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.05f);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& value : x) value = normal(random);
  return x;
}

}  // namespace

TEST_CASE("NF4 has the bytes that bitsandbytes makes", "[kernels]") {
  const Quantized made = quantized(golden_input());
  std::string text;
  for (const uint8_t byte : made.codes) text += fmt::format("{:02x}", byte);
  REQUIRE(text == golden_codes);
  REQUIRE(made.absmax == golden_absmax);
}

TEST_CASE("A block of zeros is zeros in NF4", "[kernels]") {
  const Quantized made = quantized(std::vector<float>(64));
  REQUIRE(made.codes == std::vector<uint8_t>(32, 0x77));
  REQUIRE(made.absmax == std::vector<float>{0});
}

TEST_CASE("The second level takes the nearest code of what differs from the mean", "[kernels]") {
  std::vector<float> absmax = random_floats(600, 3);
  for (float& value : absmax) value = std::abs(value) + 0.1f;
  std::vector<uint8_t> codes(absmax.size());
  std::vector<float> scales(3);
  float mean = 0;
  quantize_absmax(absmax.data(), 600, codes.data(), scales.data(), &mean);
  double sum = 0;
  for (const float value : absmax) sum += value;
  REQUIRE(mean == static_cast<float>(sum / 600));
  for (size_t i = 0; i < absmax.size(); ++i) {
    const float scale = scales[i / 256], rest = absmax[i] - mean;
    REQUIRE(std::abs(rest) <= scale);
    REQUIRE(codes[i] == nearest_code(true)(rest / scale));
  }
}

TEMPLATE_TEST_CASE("dequantize_nf4 is code times absmax, rounded once", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    const DType dtype = dtype_of<TestType>();
    for (const int64_t n : {1, 63, 64, 65, 203, 16384 + 7, 64 * 700}) {
      INFO(n << " elements");
      const Quantized made = quantized(random_floats(n, static_cast<unsigned>(n)));
      const auto blocks = static_cast<int64_t>(made.absmax.size());
      std::vector<uint8_t> absmax_codes(made.absmax.size());
      std::vector<float> scales(static_cast<size_t>((blocks + 255) / 256)), mean(1);
      quantize_absmax(made.absmax.data(), blocks, absmax_codes.data(), scales.data(), mean.data());
      const Array<uint8_t> codes(rig, made.codes), second(rig, absmax_codes);
      const Array<float> absmax(rig, made.absmax), nested(rig, scales), offset(rig, mean);
      const Matrix once(rig, dtype, 1, n), twice(rig, dtype, 1, n);
      rig.kernels->quantization.dequantize_nf4(*rig.stream, {codes.data(), absmax.data(), nullptr, nullptr}, once);
      rig.kernels->quantization.dequantize_nf4(*rig.stream, {codes.data(), nested.data(), second.data(), offset.data()},
                                               twice);
      Values expected_once, expected_twice;
      for (int64_t i = 0; i < n; ++i) {
        const auto block = static_cast<size_t>(i / nf4_block);
        const uint8_t byte = made.codes[static_cast<size_t>(i / 2)];
        const double number = nf4_map()[i % 2 == 0 ? byte >> 4 : byte & 15];
        expected_once.push_back(number * made.absmax[block]);
        expected_twice.push_back(
            number * (static_cast<double>(dynamic_map(true)[absmax_codes[block]]) * scales[block / 256] + mean[0]));
      }
      REQUIRE_THAT(once.values(), near(expected_once, tolerance<TestType>()));
      REQUIRE_THAT(twice.values(), near(expected_twice, tolerance<TestType>()));
    }
  });
}

TEMPLATE_TEST_CASE("int8 rounds 127 times each element over its row's absmax", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    const int64_t rows = 5, columns = 67;
    const std::vector<float> x = random_floats(rows * columns, 5);
    std::vector<int8_t> codes(x.size());
    std::vector<float> absmax(static_cast<size_t>(rows));
    Values expected;
    for (int64_t row = 0; row < rows; ++row) {
      float& largest = absmax[static_cast<size_t>(row)];
      if (row > 0)  // one is all zeros
        for (int64_t i = 0; i < columns; ++i)
          largest = std::max(largest, std::abs(x[static_cast<size_t>(row * columns + i)]));
      quantize_int8(x.data() + row * columns, columns, largest, codes.data() + row * columns);
      for (int64_t i = 0; i < columns; ++i) {
        const int code = codes[static_cast<size_t>(row * columns + i)];
        expected.push_back(static_cast<double>(code) * largest / 127);
        if (row == 0)
          REQUIRE(code == 0);
        else
          REQUIRE(std::abs(127.0 * x[static_cast<size_t>(row * columns + i)] / largest - code) <= 0.5 + 1e-5);
      }
    }
    std::vector<uint8_t> bytes(codes.begin(), codes.end());
    const Array<uint8_t> stored(rig, bytes);
    const Array<float> scales(rig, absmax);
    const Matrix made(rig, dtype_of<TestType>(), rows, columns);
    rig.kernels->quantization.dequantize_int8(*rig.stream,
                                              {reinterpret_cast<const int8_t*>(stored.data()), scales.data()}, made);
    REQUIRE_THAT(made.values(), near(expected, tolerance<TestType>()));
  });
}

TEST_CASE("an element between two numbers of NF4 becomes the lower", "[kernels]") {
  std::vector<float> x(nf4_block, 1.0f);  // the absmax, so that nothing is rounded
  for (size_t i = 0; i + 1 < nf4_map().size(); ++i) x[i] = (nf4_map()[i] + nf4_map()[i + 1]) / 2;
  std::vector<uint8_t> codes(nf4_block / 2);
  CHECK(quantize_nf4_block(x.data(), nf4_block, codes.data()) == 1.0f);
  for (size_t i = 0; i + 1 < nf4_map().size(); ++i) CHECK((i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 15) == i);
}

}  // namespace tessera::test
