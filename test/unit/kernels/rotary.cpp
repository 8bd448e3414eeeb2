#include <catch2/catch.hpp>
#include <cmath>
#include <future>
#include <tuple>

#include "support/kernel_test.h"

namespace tessera::test {
namespace {

std::vector<float> inverse_frequencies(int64_t half) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < half; ++i)
    frequencies.push_back(static_cast<float>(std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half))));
  return frequencies;
}

/// Each pair (a, b) of the halves of a head's first columns becomes (a·cos - b·sin, b·cos + a·sin).
Values rotate(const Values& x, int64_t heads, const RotaryHeads& of, const std::vector<float>& cos,
              const std::vector<float>& sin) {
  Values y = x;
  const auto D = static_cast<size_t>(of.D), half = static_cast<size_t>(of.turned / 2);
  for (size_t head = 0; head * D < x.size(); ++head) {
    const size_t t = head / static_cast<size_t>(heads);
    for (size_t i = 0; i < half; ++i) {
      const size_t at = head * D + i;
      const double c = cos[t * half + i], s = sin[t * half + i];
      y[at] = x[at] * c - x[at + half] * s;
      y[at + half] = x[at + half] * c + x[at] * s;
    }
  }
  return y;
}

/// T positions with their table, and x [T, heads·D] as a slice.
struct Case {
  Case(Rig& rig_, DType dtype, int64_t T_, int64_t heads_, RotaryHeads of_, int64_t slack = 4)
      : rig(rig_),
        T(T_),
        heads(heads_),
        of(of_),
        positions(rig, positions_of(T)),
        cos(rig, T * of.turned / 2),
        sin(rig, T * of.turned / 2),
        x(Matrix::random(rig, dtype, T, heads * of.D, 7, slack)) {
    const std::vector<float> frequencies = inverse_frequencies(of.turned / 2);
    rig.kernels->rotary.rope_table(*rig.stream, positions.data(), T, frequencies.data(), of.turned / 2, 1, cos.data(),
                                   sin.data());
  }
  Case(Rig& rig_, DType dtype, int64_t T_, int64_t heads_, int64_t D) : Case(rig_, dtype, T_, heads_, {D, D}) {}
  static std::vector<int32_t> positions_of(int64_t T) {
    std::vector<int32_t> positions;
    for (int64_t t = 0; t < T; ++t) positions.push_back(static_cast<int32_t>(t * 37 % 1009));
    return positions;
  }
  void forward() { rig.kernels->rotary.rope_forward(*rig.stream, cos.data(), sin.data(), of, x); }
  void backward() { rig.kernels->rotary.rope_backward(*rig.stream, cos.data(), sin.data(), of, x); }

  Rig& rig;
  int64_t T, heads;
  RotaryHeads of;
  Array<int32_t> positions;
  Array<float> cos, sin;
  Matrix x;
};

TEST_CASE("rope_table holds the cosine and sine of the fp32 angle", "[kernels]") {
  on_every_device([](Rig& rig) {
    const std::vector<int32_t> positions = {0, 1, 5, 1000, 131071};
    const std::vector<float> frequencies = inverse_frequencies(12);
    const Array<int32_t> device_positions(rig, positions);
    const Array<float> cos(rig, 60), sin(rig, 60);
    rig.kernels->rotary.rope_table(*rig.stream, device_positions.data(), 5, frequencies.data(), 12, 0.5f, cos.data(),
                                   sin.data());
    const std::vector<float> c = cos.values(), s = sin.values();
    for (size_t t = 0; t < positions.size(); ++t) {
      for (size_t i = 0; i < frequencies.size(); ++i) {
        const double angle = static_cast<float>(positions[t]) * frequencies[i];
        REQUIRE(c[t * 12 + i] == Approx(0.5 * std::cos(angle)).margin(1e-7));
        REQUIRE(s[t * 12 + i] == Approx(0.5 * std::sin(angle)).margin(1e-7));
      }
    }
  });
}

TEST_CASE("rope_table copies the frequencies before it returns", "[kernels]") {
  on_every_device([](Rig& rig) {
    const Array<int32_t> positions(rig, {3});
    const Array<float> cos(rig, 1), sin(rig, 1);
    std::promise<void> changed;
    rig.stream->enqueue([ready = changed.get_future().share()] { ready.wait(); });
    float frequency = 1;
    rig.kernels->rotary.rope_table(*rig.stream, positions.data(), 1, &frequency, 1, 1, cos.data(), sin.data());
    frequency = 0;
    changed.set_value();
    REQUIRE(sin.values()[0] == Approx(std::sin(3.0)));
  });
}

TEMPLATE_TEST_CASE("rope_forward rotates the halves of each head", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    for (const auto& [T, heads, D] : {std::tuple{1, 1, 8}, {37, 3, 64}, {5, 2, 22}, {50, 9, 2}}) {
      Case c(rig, dtype_of<TestType>(), T, heads, D);
      const Values expected = rotate(c.x.values(), heads, {D, D}, c.cos.values(), c.sin.values());
      c.forward();
      REQUIRE_THAT(c.x.values(), near(expected, tolerance<TestType>()));
      REQUIRE(c.x.intact());
    }
  });
}

TEMPLATE_TEST_CASE("rope_backward agrees with finite differences", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    Case c(rig, dtype_of<TestType>(), 3, 2, 22);
    const Values dy = c.x.values();
    const std::vector<float> cos = c.cos.values(), sin = c.sin.values();
    const auto loss = [&](const Values& at) { return dot(rotate(at, 2, {22, 22}, cos, sin), dy); };
    const Values expected = gradient_by_differences(loss, random_values(3 * 2 * 22, 8));
    c.backward();
    REQUIRE_THAT(c.x.values(), near(expected, tolerance<TestType>()));
    REQUIRE(c.x.intact());
  });
}

struct PartCase {
  int64_t T, heads, D, turned, slack;
};
/// Aligned throughout, heads that are not, tables that are not, one pair, none.
const std::initializer_list<PartCase> parts = {{37, 3, 96, 64, 32}, {37, 3, 80, 32, 4}, {5, 2, 64, 20, 8},
                                               {9, 3, 12, 8, 4},    {7, 2, 11, 6, 1},   {3, 2, 9, 2, 0},
                                               {3, 2, 8, 0, 0}};

TEMPLATE_TEST_CASE("rope_forward turns the first columns of each head and leaves the others, bit for bit", "[kernels]",
                   float, bf16) {
  on_every_device([](Rig& rig) {
    for (const auto& [T, heads, D, turned, slack] : parts) {
      INFO("D " << D << ", turned " << turned);
      Case c(rig, dtype_of<TestType>(), T, heads, {D, turned}, slack);
      const Values before = c.x.values(), expected = rotate(before, heads, c.of, c.cos.values(), c.sin.values());
      c.forward();
      const Values after = c.x.values();
      REQUIRE_THAT(after, near(expected, tolerance<TestType>()));
      for (size_t i = 0; i < after.size(); ++i)
        if (static_cast<int64_t>(i) % D >= turned) REQUIRE(after[i] == before[i]);
      REQUIRE(c.x.intact());
    }
  });
}

TEMPLATE_TEST_CASE("rope_backward of some columns agrees with finite differences", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    for (const auto& [T, heads, D, turned, slack] : parts) {
      if (T * D > 100) continue;
      Case c(rig, dtype_of<TestType>(), T, heads, {D, turned}, slack);
      const Values dy = c.x.values();
      const std::vector<float> cos = c.cos.values(), sin = c.sin.values();
      const auto loss = [&, heads = heads](const Values& at) { return dot(rotate(at, heads, c.of, cos, sin), dy); };
      const Values expected = gradient_by_differences(loss, random_values(T * heads * D, 8));
      c.backward();
      REQUIRE_THAT(c.x.values(), near(expected, tolerance<TestType>()));
      REQUIRE(c.x.intact());
    }
  });
}

TEST_CASE("rope_table of ranges of tokens is that of all of them, with other frequencies where they are given",
          "[kernels]") {
  on_every_device([](Rig& rig) {
    constexpr int64_t T = 37, half = 5, first = 11;
    const Array<int32_t> positions(rig, Case::positions_of(T));
    const std::vector<float> usual = inverse_frequencies(half), other(half, 0.25f);
    const Array<float> cos(rig, T * half), sin(rig, T * half), of_usual(rig, T * half), of_other(rig, T * half),
        unused(rig, T * half);
    RotaryKernels& rotary = rig.kernels->rotary;
    rotary.rope_table(*rig.stream, positions.data(), T, usual.data(), half, 1, of_usual.data(), unused.data());
    rotary.rope_table(*rig.stream, positions.data(), T, other.data(), half, 2, of_other.data(), unused.data());
    rotary.rope_table(*rig.stream, positions.data(), first, usual.data(), half, 1, cos.data(), sin.data());
    rotary.rope_table(*rig.stream, positions.data() + first, T - first, other.data(), half, 2,
                      cos.data() + first * half, sin.data() + first * half);
    std::vector<float> expected = of_usual.values();
    const std::vector<float> behind = of_other.values();
    std::copy(behind.begin() + first * half, behind.end(), expected.begin() + first * half);
    REQUIRE(cos.values() == expected);
  });
}

TEST_CASE("rope_backward undoes rope_forward", "[kernels]") {
  on_every_device([](Rig& rig) {
    Case c(rig, DType::f32, 37, 3, 64);
    const Values before = c.x.values();
    c.forward();
    c.backward();
    REQUIRE_THAT(c.x.values(), near(before, tolerance<float>()));
  });
}

TEST_CASE("rope of no tokens does nothing", "[kernels]") {
  on_every_device([](Rig& rig) {
    Case c(rig, DType::f32, 0, 3, 64);
    c.forward();
    REQUIRE_NOTHROW(rig.stream->synchronize());
  });
}

}  // namespace
}  // namespace tessera::test
