#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "support/kernel_test.h"

namespace tessera::test {
namespace {

double transformed(const LogitTransform& transform, double x) {
  const auto scale = static_cast<double>(transform.scale), softcap = static_cast<double>(transform.softcap);
  return softcap > 0 ? softcap * std::tanh(scale * x / softcap) : scale * x;
}
Values transformed(const LogitTransform& transform, Values logits) {
  for (double& x : logits) x = transformed(transform, x);
  return logits;
}

double cross_entropy(const Values& logits, size_t V, const std::vector<int32_t>& targets) {
  double loss = 0;
  for (size_t t = 0; t < targets.size(); ++t) {
    if (targets[t] < 0) continue;
    const double* row = &logits[t * V];
    const double largest = *std::max_element(row, row + V);
    double sum = 0;
    for (size_t v = 0; v < V; ++v) sum += std::exp(row[v] - largest);
    loss += std::log(sum) + largest - row[targets[t]];
  }
  return loss;
}

/// The gradient of scale · cross_entropy of transformed logits, row by row.
Values logits_gradient(const Values& logits, size_t V, const std::vector<int32_t>& targets, double scale,
                       const LogitTransform& transform = {}) {
  Values gradient;
  for (size_t t = 0; t < targets.size(); ++t) {
    const auto first = logits.begin() + static_cast<int64_t>(t * V);
    const auto loss = [&](const Values& row) {
      return scale * cross_entropy(transformed(transform, row), V, {targets[t]});
    };
    const Values row = gradient_by_differences(loss, Values(first, first + static_cast<int64_t>(V)));
    gradient.insert(gradient.end(), row.begin(), row.end());
  }
  return gradient;
}

std::vector<int32_t> some_targets(int64_t T, int64_t V) {
  std::vector<int32_t> targets;
  for (int64_t t = 0; t < T; ++t) targets.push_back(t % 4 == 1 ? -100 : static_cast<int32_t>((t * 31 + 5) % V));
  return targets;
}

double run(Rig& rig, const Matrix& logits, const std::vector<int32_t>& targets, float scale, const View& dlogits,
           const LogitTransform& transform = {}) {
  const Array<int32_t> device_targets(rig, targets);
  const Array<double> loss(rig, 1);
  rig.kernels->loss.cross_entropy(*rig.stream, logits, device_targets.data(), transform, scale, dlogits, loss.data());
  return loss.values()[0];
}

/// A gradient in the place of the logits, each row where theirs begins.
View over(const View& logits, DType dtype) {
  return {logits.data, dtype, logits.rows, logits.cols, logits.row_stride * size_of(DType::f32) / size_of(dtype)};
}
/// Its bits, as Matrix gives those of one apart.
std::vector<uint32_t> bits_over(const Matrix& logits, DType dtype) {
  std::vector<uint32_t> words = logits.bits();
  if (dtype == DType::f32) return words;
  std::vector<uint32_t> bits;
  const auto V = static_cast<size_t>(logits.view().cols);
  for (size_t row = 0; row < words.size(); row += V)
    for (size_t v = 0; v < V; ++v) bits.push_back(words[row + v / 2] >> (v % 2 * 16) & 0xffff);
  return bits;
}

/// Columns beside rows of V with which every row begins aligned.
int64_t aligning(int64_t V) { return (64 - V % 64) % 64; }

const std::initializer_list<std::pair<int64_t, int64_t>> sizes = {{1, 2}, {3, 31}, {9, 67}, {5, 300}, {257, 3}};

TEMPLATE_TEST_CASE("cross_entropy agrees with its formula and with finite differences", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    for (const auto& [T, V] : sizes)
      for (const auto& [slack, other] : {std::pair<int64_t, int64_t>{3, 5}, {aligning(V), aligning(V)}}) {
        const std::vector<int32_t> targets = some_targets(T, V);
        const Matrix logits = Matrix::random(rig, DType::f32, T, V, 1, slack);
        const Matrix dlogits = Matrix::zeros(rig, dtype_of<TestType>(), T, V, other);
        const double loss = run(rig, logits, targets, 0.25f, dlogits);
        const Values expected = logits_gradient(logits.values(), static_cast<size_t>(V), targets, 0.25);
        REQUIRE(loss == Approx(cross_entropy(logits.values(), static_cast<size_t>(V), targets)).epsilon(1e-6));
        REQUIRE_THAT(dlogits.values(), near(expected, tolerance<TestType>()));
        REQUIRE(dlogits.intact());
      }
  });
}

TEMPLATE_TEST_CASE("cross_entropy may write the gradient over the logits", "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    const DType dtype = dtype_of<TestType>();
    for (const auto& [T, V] : sizes)
      for (const int64_t slack : {int64_t{3}, aligning(V)}) {
        const std::vector<int32_t> targets = some_targets(T, V);
        const Matrix logits = Matrix::random(rig, DType::f32, T, V, 1, slack),
                     apart = Matrix::zeros(rig, dtype, T, V, slack);
        const double loss = run(rig, logits, targets, 0.25f, apart);
        REQUIRE(run(rig, logits, targets, 0.25f, over(logits, dtype)) == loss);
        REQUIRE(bits_over(logits, dtype) == apart.bits());
        REQUIRE(logits.intact());
      }
  });
}

TEST_CASE("cross_entropy without dlogits gives the loss alone", "[kernels]") {
  on_every_device([](Rig& rig) {
    const Matrix logits = Matrix::random(rig, DType::f32, 9, 67, 1);
    const std::vector<int32_t> targets = some_targets(9, 67);
    const Array<int32_t> device_targets(rig, targets);
    const Array<double> loss(rig, 1);
    rig.kernels->loss.cross_entropy(*rig.stream, logits, device_targets.data(), {}, 1, View(), loss.data());
    REQUIRE(loss.values()[0] == Approx(cross_entropy(logits.values(), 67, targets)).epsilon(1e-6));
  });
}

TEST_CASE("cross_entropy adds to the sum that is there", "[kernels]") {
  on_every_device([](Rig& rig) {
    const Matrix logits(rig, DType::f32, 1, 2, {0, 0});
    const Array<int32_t> targets(rig, {1});
    const Array<double> loss(rig, {10});
    rig.kernels->loss.cross_entropy(*rig.stream, logits, targets.data(), {}, 1, View(), loss.data());
    rig.kernels->loss.cross_entropy(*rig.stream, logits, targets.data(), {}, 1, View(), loss.data());
    REQUIRE(loss.values()[0] == Approx(10 + 2 * std::log(2)));
  });
}

TEST_CASE("cross_entropy leaves out every negative target and zeroes its row", "[kernels]") {
  on_every_device([](Rig& rig) {
    const Matrix logits = Matrix::random(rig, DType::f32, 3, 21, 1);
    const Matrix dlogits = Matrix::random(rig, DType::bf16, 3, 21, 2);
    REQUIRE(run(rig, logits, {-1, -100, -7}, 1, dlogits) == 0);
    REQUIRE(dlogits.values() == Values(63));
  });
}

TEST_CASE("cross_entropy of huge and infinitely small logits is finite", "[kernels]") {
  on_every_device([](Rig& rig) {
    const Matrix logits(rig, DType::f32, 2, 4, {3e38, -3e38, 3e38, -INFINITY, -3e38, -INFINITY, -3e38, -INFINITY});
    const Matrix dlogits = Matrix::zeros(rig, DType::f32, 2, 4);
    REQUIRE(run(rig, logits, {0, 2}, 1, dlogits) == Approx(2 * std::log(2)));
    REQUIRE(dlogits.values() == Values{-0.5, 0, 0.5, 0, 0.5, 0, -0.5, 0});
  });
}

TEST_CASE("cross_entropy shows a NaN among the logits, wherever it stands", "[kernels]") {
  on_every_device([](Rig& rig) {
    for (size_t place = 0; place < 67; ++place) {
      Values values = random_values(67, 1);
      values[place] = NAN;
      const Matrix logits(rig, DType::f32, 1, 67, values), dlogits = Matrix::zeros(rig, DType::f32, 1, 67);
      REQUIRE(std::isnan(run(rig, logits, {5}, 1, dlogits)));
    }
  });
}

TEMPLATE_TEST_CASE("cross_entropy over a whole vocabulary keeps six digits, also with the gradient written over it",
                   "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    const DType dtype = dtype_of<TestType>();
    for (const int64_t V : {49152, 65537, 151936}) {
      INFO("V " << V);
      const Matrix logits = Matrix::random(rig, DType::f32, 2, V, 1, aligning(V)),
                   dlogits = Matrix::zeros(rig, dtype, 2, V, aligning(V));
      const std::vector<int32_t> targets = {static_cast<int32_t>(V) - 1, 17};
      const double expected = cross_entropy(logits.values(), static_cast<size_t>(V), targets);
      const double loss = run(rig, logits, targets, 1, dlogits);
      REQUIRE(loss == Approx(expected).epsilon(1e-6));
      double sum = 0;
      for (const double value : dlogits.values()) sum += value;
      REQUIRE(sum == Approx(0).margin(tolerance<TestType>()));
      REQUIRE(run(rig, logits, targets, 1, over(logits, dtype)) == loss);
      REQUIRE(bits_over(logits, dtype) == dlogits.bits());
    }
  });
}

/// Scale alone, a cap that many of the logits below come near to, both.
const std::initializer_list<LogitTransform> transforms = {{.scale = 0.125f}, {.softcap = 4}, {0.25f, 2}};

Matrix large_logits(Rig& rig, int64_t T, int64_t V, int64_t slack) {
  return {rig, DType::f32, T, V, random_values(T * V, 1, 4), slack};
}

TEMPLATE_TEST_CASE("cross_entropy of transformed logits agrees with its formula and with finite differences",
                   "[kernels]", float, bf16) {
  on_every_device([](Rig& rig) {
    for (const LogitTransform& transform : transforms)
      for (const auto& [T, V] : sizes)
        for (const int64_t slack : {int64_t{3}, aligning(V)}) {
          INFO("scale " << transform.scale << ", softcap " << transform.softcap);
          const std::vector<int32_t> targets = some_targets(T, V);
          const Matrix logits = large_logits(rig, T, V, slack);
          const Matrix dlogits = Matrix::zeros(rig, dtype_of<TestType>(), T, V, slack);
          const double loss = run(rig, logits, targets, 0.5f, dlogits, transform);
          const Values values = logits.values();
          const auto width = static_cast<size_t>(V);
          const double expected = cross_entropy(transformed(transform, values), width, targets);
          REQUIRE(loss == Approx(expected).epsilon(1e-6).margin(1e-6));
          REQUIRE_THAT(dlogits.values(),
                       near(logits_gradient(values, width, targets, 0.5, transform), tolerance<TestType>()));
          REQUIRE(dlogits.intact());
          REQUIRE(run(rig, logits, targets, 0.5f, over(logits, dtype_of<TestType>()), transform) == loss);
          REQUIRE(bits_over(logits, dtype_of<TestType>()) == dlogits.bits());
        }
  });
}

TEST_CASE("cross_entropy of transformed logits is that of the logits which transform_logits makes", "[kernels]") {
  on_every_device([](Rig& rig) {
    for (const LogitTransform& transform : transforms)
      for (const int64_t V : {67, 151936}) {
        const std::vector<int32_t> targets = {static_cast<int32_t>(V) - 1, 17};
        const Matrix logits = large_logits(rig, 2, V, aligning(V));
        const Matrix d_raw = Matrix::zeros(rig, DType::f32, 2, V, aligning(V)),
                     d_z = Matrix::zeros(rig, DType::f32, 2, V, aligning(V));
        const double loss = run(rig, logits, targets, 1, d_raw, transform);
        rig.kernels->loss.transform_logits(*rig.stream, transform, logits);
        REQUIRE(run(rig, logits, targets, 1, d_z) == Approx(loss).epsilon(1e-6));
        Values expected = d_z.values();
        const Values z = logits.values();
        for (size_t i = 0; i < z.size(); ++i) {
          const double tanh = transform.softcap > 0 ? z[i] / static_cast<double>(transform.softcap) : 0;
          expected[i] *= static_cast<double>(transform.scale) * (1 - tanh * tanh);
        }
        REQUIRE_THAT(d_raw.values(), near(expected, tolerance<float>()));
      }
  });
}

TEST_CASE("transform_logits scales and caps each logit where it lies", "[kernels]") {
  on_every_device([](Rig& rig) {
    for (const LogitTransform& transform : transforms)
      for (const auto& [T, V] : {std::pair<int64_t, int64_t>{1, 1}, {3, 64}, {5, 2051}}) {
        const Matrix logits = large_logits(rig, T, V, V % 4 == 0 ? 4 : 3);
        const Values before = logits.values();
        rig.kernels->loss.transform_logits(*rig.stream, transform, logits);
        const Values z = logits.values();
        for (size_t i = 0; i < z.size(); ++i) {
          INFO(before[i]);
          REQUIRE(z[i] == Approx(transformed(transform, before[i])).epsilon(1e-6).margin(0));
        }
        REQUIRE(logits.intact());
      }
  });
}

TEST_CASE("a soft cap keeps small logits to a part in a million, bounds the largest and passes NaN", "[kernels]") {
  on_every_device([](Rig& rig) {
    const Values x = {1e-30, -1e-6, 0.01, 18.7, 18.8, -40, 3e38, INFINITY, -INFINITY, NAN, 0};
    const auto V = static_cast<int64_t>(x.size());
    const Matrix logits(rig, DType::f32, 1, V, x), d = Matrix::zeros(rig, DType::f32, 1, V);
    REQUIRE(std::isnan(run(rig, logits, {2}, 1, d, {.softcap = 30})));
    const Values given = logits.values();
    rig.kernels->loss.transform_logits(*rig.stream, {.softcap = 30}, logits);
    const Values z = logits.values();
    for (size_t i = 0; i < 9; ++i) REQUIRE(z[i] == Approx(30 * std::tanh(given[i] / 30)).epsilon(1e-6).margin(0));
    REQUIRE(std::isnan(z[9]));
    REQUIRE(z[10] == 0);
  });
}

}  // namespace
}  // namespace tessera::test
