#include <catch2/catch.hpp>

#include "support/kernel_test.h"

namespace tessera::test {
namespace {

constexpr int64_t V = 11, T = 600;

std::vector<int32_t> some_tokens() {
  std::vector<int32_t> tokens;
  for (int32_t t = 0; t < T; ++t) tokens.push_back(t * t % static_cast<int32_t>(V));
  return tokens;
}

TEMPLATE_TEST_CASE("embedding_forward copies the row of each token", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    for (const int64_t C : {1, 67, 128}) {
      const Matrix table = Matrix::random(rig, dtype_of<TestType>(), V, C, 1, 3);
      const Matrix y = Matrix::zeros(rig, dtype_of<TestType>(), T, C, 2);
      const Array<int32_t> tokens(rig, some_tokens());
      rig.kernels->embedding.forward(*rig.stream, tokens.data(), table, y);
      const auto rows = table.bits(), actual = y.bits();
      for (size_t i = 0; i < actual.size(); ++i) {
        const auto width = static_cast<size_t>(C), token = static_cast<size_t>(some_tokens()[i / width]);
        REQUIRE(actual[i] == rows[token * width + i % width]);
      }
      REQUIRE(y.intact());
    }
  });
}

TEMPLATE_TEST_CASE("embedding_backward adds each token's gradient to its row in the order of the tokens", "[kernels]",
                   float, bf16) {
  on_every_device([](Rig& rig) {
    for (const int64_t C : {1, 67, 256}) {
      const Matrix dy = Matrix::random(rig, dtype_of<TestType>(), T, C, 1, 3);
      const Matrix dtable = Matrix::random(rig, DType::f32, V, C, 2, 5);
      const auto width = static_cast<size_t>(C);
      std::vector<float> expected;
      for (const double value : dtable.values()) expected.push_back(static_cast<float>(value));
      const Values dy_values = dy.values();
      for (size_t i = 0; i < dy_values.size(); ++i)
        expected[static_cast<size_t>(some_tokens()[i / width]) * width + i % width] += static_cast<float>(dy_values[i]);
      const Array<int32_t> tokens(rig, some_tokens());
      rig.kernels->embedding.backward(*rig.stream, tokens.data(), dy, dtable);
      REQUIRE(dtable.values() == Values(expected.begin(), expected.end()));
      REQUIRE(dtable.intact());
    }
  });
}

TEMPLATE_TEST_CASE("embedding_forward multiplies by a factor and rounds the product once", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    const float factor = 33.941125f;  // √1152
    for (const int64_t C : {1, 67, 2056}) {
      const Matrix table = Matrix::random(rig, dtype_of<TestType>(), V, C, 1, C % 8 == 0 ? 8 : 3);
      const Matrix y = Matrix::zeros(rig, dtype_of<TestType>(), T, C, C % 8 == 0 ? 8 : 2);
      const Array<int32_t> tokens(rig, some_tokens());
      rig.kernels->embedding.forward(*rig.stream, tokens.data(), table, y, factor);
      const Values rows = table.values(), actual = y.values();
      for (size_t i = 0; i < actual.size(); ++i) {
        const auto width = static_cast<size_t>(C), token = static_cast<size_t>(some_tokens()[i / width]);
        const auto row = static_cast<float>(rows[token * width + i % width]);
        REQUIRE(actual[i] == static_cast<double>(static_cast<float>(TestType(factor * row))));
      }
      REQUIRE(y.intact());
    }
  });
}

TEMPLATE_TEST_CASE("embedding_backward multiplies the gradient by the factor", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    for (const int64_t C : {1, 67, 256}) {
      const Matrix dy = Matrix::random(rig, dtype_of<TestType>(), T, C, 1, 3);
      const Matrix dtable = Matrix::random(rig, DType::f32, V, C, 2, 5);
      Values expected = dtable.values();
      const Values dy_values = dy.values();
      const auto width = static_cast<size_t>(C);
      for (size_t i = 0; i < dy_values.size(); ++i)
        expected[static_cast<size_t>(some_tokens()[i / width]) * width + i % width] += 12.5 * dy_values[i];
      const Array<int32_t> tokens(rig, some_tokens());
      rig.kernels->embedding.backward(*rig.stream, tokens.data(), dy, dtable, 12.5f);
      REQUIRE_THAT(dtable.values(), near(expected, tolerance<float>()));
      REQUIRE(dtable.intact());
    }
  });
}

TEST_CASE("embedding_backward leaves the row of the padding token as it is", "[kernels]") {
  on_every_device([](Rig& rig) {
    const int64_t C = 67;
    const int32_t padding = some_tokens()[2];
    const Matrix dy = Matrix::random(rig, DType::f32, T, C, 1, 3);
    const Matrix dtable = Matrix::random(rig, DType::f32, V, C, 2, 5),
                 all_rows = Matrix::random(rig, DType::f32, V, C, 2, 5);
    Values expected = dtable.values();
    const Array<int32_t> tokens(rig, some_tokens());
    rig.kernels->embedding.backward(*rig.stream, tokens.data(), dy, all_rows);
    rig.kernels->embedding.backward(*rig.stream, tokens.data(), dy, dtable, 1, padding);
    const Values added = all_rows.values();
    for (size_t i = 0; i < expected.size(); ++i)
      if (static_cast<int32_t>(i / static_cast<size_t>(C)) != padding) expected[i] = added[i];
    REQUIRE(expected != added);
    REQUIRE(dtable.values() == expected);
  });
}

TEST_CASE("embedding_backward keeps the order of the tokens in batches of any length", "[kernels]") {
  on_every_device([](Rig& rig) {
    for (const int64_t tokens : {1, 511, 512, 513, 8192, 8193, 9999}) {
      INFO(tokens << " tokens");
      std::vector<int32_t> ids;  // a frequent one, some that come often, many that come once
      for (int32_t t = 0; t < tokens; ++t) ids.push_back(t % 3 == 0 ? 70000 : t % 3 == 1 ? t % 7 : t * 7919 % 70001);
      const Matrix dy = Matrix::random(rig, DType::bf16, tokens, 2, 1),
                   dtable = Matrix::zeros(rig, DType::f32, 70001, 2);
      std::vector<float> expected(2 * 70001);
      const Values dy_values = dy.values();
      for (size_t i = 0; i < dy_values.size(); ++i)
        expected[2 * static_cast<size_t>(ids[i / 2]) + i % 2] += static_cast<float>(dy_values[i]);
      const Array<int32_t> on_device(rig, ids);
      rig.kernels->embedding.backward(*rig.stream, on_device.data(), dy, dtable);
      REQUIRE(dtable.values() == Values(expected.begin(), expected.end()));
    }
  });
}

TEMPLATE_TEST_CASE("scatter_rows puts each row in its place and zeros everywhere else", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    constexpr int64_t rows_of_y = 700;  // several pieces for three threads
    for (const auto& chosen : {std::vector<int32_t>{}, {0}, {699}, {1, 2, 350, 466, 467, 699}}) {
      for (const int64_t C : {1, 67}) {
        const auto S = static_cast<int64_t>(chosen.size());
        const Matrix x = Matrix::random(rig, dtype_of<TestType>(), S, C, 1, 3);
        const Matrix y = Matrix::random(rig, dtype_of<TestType>(), rows_of_y, C, 2, 2);
        const Array<int32_t> rows(rig, chosen);
        rig.kernels->embedding.scatter_rows(*rig.stream, rows.data(), x, y);
        const auto from = x.bits(), to = y.bits();
        const auto width = static_cast<size_t>(C);
        for (size_t i = 0; i < to.size(); ++i) {
          const auto found = std::find(chosen.begin(), chosen.end(), static_cast<int32_t>(i / width));
          const auto row = static_cast<size_t>(found - chosen.begin());
          REQUIRE(to[i] == (found == chosen.end() ? 0 : from[row * width + i % width]));
        }
        REQUIRE(y.intact());
      }
    }
  });
}

}  // namespace
}  // namespace tessera::test
