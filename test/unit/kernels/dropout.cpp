#include "kernels/dropout.h"

#include <array>
#include <catch2/catch.hpp>

#include "support/kernel_test.h"

namespace tessera::test {
namespace {

using Words = std::array<uint32_t, 4>;

/// Philox4x32-10, as its paper gives it.
Words philox(Words x, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * x[0], b = uint64_t{0xCD9E8D57} * x[2];
    x = {static_cast<uint32_t>(b >> 32) ^ x[1] ^ key0, static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ x[3] ^ key1, static_cast<uint32_t>(a)};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return x;
}

bool is_kept(const Dropout& dropout, int32_t sample, int32_t position, int64_t column) {
  const auto block = static_cast<uint32_t>(column / 128 * 32 + column % 32);
  const Words words = philox(
      {block, static_cast<uint32_t>(position), static_cast<uint32_t>(sample), static_cast<uint32_t>(dropout.step)},
      static_cast<uint32_t>(dropout.key), static_cast<uint32_t>(dropout.key >> 32));
  return words[static_cast<size_t>(column % 128 / 32)] >= static_cast<double>(dropout.rate) * 4294967296.0;
}

/// Tokens of samples with seven each.
struct Tokens {
  std::vector<int32_t> samples, positions;
  Array<int32_t> samples_on_device, positions_on_device;

  Tokens(Rig& rig, int64_t T)
      : samples(numbers(T, [](int32_t t) { return 1000 * (t / 7) + 3; })),
        positions(numbers(T, [](int32_t t) { return t % 7; })),
        samples_on_device(rig, samples),
        positions_on_device(rig, positions) {}

  static std::vector<int32_t> numbers(int64_t T, int32_t (*of)(int32_t t)) {
    std::vector<int32_t> made;
    for (int32_t t = 0; t < T; ++t) made.push_back(of(t));
    return made;
  }
  Dropout dropout(float rate, int64_t step = 12) const {
    return {0x0123456789abcdef, step, rate, samples_on_device.data(), positions_on_device.data()};
  }
};

}  // namespace

TEST_CASE("the tests' Philox gives the known answers of Random123", "[kernels]") {
  CHECK(philox({0, 0, 0, 0}, 0, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffff, 0xffffffff) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEMPLATE_TEST_CASE("dropout keeps the elements that its counters say, and scales them", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    const DType dtype = dtype_of<TestType>();
    for (const auto& [T, columns, slack, rate] :
         {std::tuple{1, 1, 0, 0.5f}, {20, 67, 3, 0.05f}, {9, 128, 0, 0.3f}, {16, 301, 1, 0.9f}, {3, 8, 0, 0.0f}}) {
      const Tokens tokens(rig, T);
      const Dropout dropout = tokens.dropout(rate);
      const Matrix x = Matrix::random(rig, dtype, T, columns, 1, slack),
                   y = Matrix::random(rig, dtype, T, columns, 2, slack);
      const Values before = y.values();
      Values dropped, added;
      for (int64_t i = 0; i < int64_t{T} * columns; ++i) {
        const auto t = static_cast<size_t>(i / columns), at = static_cast<size_t>(i);
        const bool kept = is_kept(dropout, tokens.samples[t], tokens.positions[t], i % columns);
        dropped.push_back(kept ? x.values()[at] / (1 - static_cast<double>(rate)) : 0);
        added.push_back(before[at] + dropped.back());
      }
      rig.kernels->dropout.dropout(*rig.stream, dropout, x, y, Write::accumulate);
      REQUIRE_THAT(y.values(), near(added, tolerance<TestType>()));
      rig.kernels->dropout.dropout(*rig.stream, dropout, x, y, Write::overwrite);
      REQUIRE_THAT(y.values(), near(dropped, tolerance<TestType>()));
      REQUIRE(y.intact());
      rig.kernels->dropout.dropout(*rig.stream, dropout, x, x, Write::overwrite);
      REQUIRE(x.bits() == y.bits());
    }
  });
}

TEST_CASE("dropout drops its rate of the elements, and others in another step", "[kernels]") {
  on_every_device([](Rig& rig) {
    constexpr int64_t T = 400, columns = 500;
    const Tokens tokens(rig, T);
    const Matrix x(rig, DType::f32, T, columns, Values(T * columns, 1.0)), y(rig, DType::f32, T, columns);
    const auto zeros_in = [&](int64_t step) {
      rig.kernels->dropout.dropout(*rig.stream, tokens.dropout(0.1f, step), x, y, Write::overwrite);
      return y.values();
    };
    const Values first = zeros_in(1), second = zeros_in(2);
    int64_t dropped = 0, in_both = 0;
    for (size_t i = 0; i < first.size(); ++i) {
      dropped += first[i] == 0;
      in_both += first[i] == 0 && second[i] == 0;
    }
    CHECK(std::abs(static_cast<double>(dropped) / (T * columns) - 0.1) < 0.003);  // four deviations
    CHECK(std::abs(static_cast<double>(in_both) / (T * columns) - 0.01) < 0.001);
  });
}

}  // namespace tessera::test
