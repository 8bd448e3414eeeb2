#include <catch2/catch.hpp>
#include <numeric>

#include "support/kernel_test.h"

namespace tessera::test {
namespace {

struct Case {
  int64_t H, G, D, window;
  std::vector<int64_t> documents;  // their lengths
  double softcap = 0;

  int64_t tokens() const { return std::accumulate(documents.begin(), documents.end(), int64_t{0}); }
  std::vector<int32_t> cu_seqlens() const {
    std::vector<int32_t> ends = {0};
    for (const int64_t length : documents) ends.push_back(ends.back() + static_cast<int32_t>(length));
    return ends;
  }
  double scale() const { return 1 / std::sqrt(static_cast<double>(D)); }
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  out << "H " << c.H << ", G " << c.G << ", D " << c.D << ", window " << c.window << ", documents";
  for (const int64_t length : c.documents) out << ' ' << length;
  return out << ", soft cap " << c.softcap;
}

/// Every width, sharing of heads, window and length that is a way of its own through the kernels, or beside one.
const std::vector<Case> cases = {
    {1, 1, 1, 0, {1}},
    {2, 1, 8, 0, {5, 1, 3}},
    {3, 3, 12, 0, {17, 33}},
    {4, 2, 20, 0, {64, 2}},
    {9, 3, 64, 0, {70, 0, 61}},
    {9, 3, 64, 0, {130}},
    {2, 1, 32, 0, {300}},
    {1, 1, 16, 0, {150, 40}},
    {8, 1, 16, 0, {40, 31}},
    {12, 1, 48, 0, {37}},
    {2, 2, 80, 40, {45, 31}},
    {1, 1, 256, 0, {66}},
    {2, 1, 16, 1, {70}},
    {2, 1, 16, 2, {70, 3}},
    {4, 2, 16, 16, {150, 15}},
    {3, 1, 64, 100, {333}},
    {2, 1, 20, 1000, {70}},
    {2, 1, 128, 0, {33, 9}},
    // Groups of documents for cuDNN: one with a place that stays empty, several of different lengths.
    {4, 2, 64, 0, {100, 100, 100, 90, 90, 80, 60}},
    {2, 1, 64, 50, {260, 130, 100, 40}},
    // Scores of some units, many of them near their cap.
    {2, 1, 10, 0, {37, 20}},
    {4, 2, 20, 0, {64, 2}, 1.5},
    {9, 3, 64, 0, {130, 1}, 1},
    {2, 1, 32, 0, {300}, 3},
    {2, 2, 80, 40, {45, 31}, 1},
    {3, 1, 64, 100, {333}, 0.5},
    {4, 2, 256, 50, {70, 66}, 1.5},
};

/// What an attention call reads and writes, as the model holds it: q, k and v are columns of one matrix.
struct Batch {
  Batch(Rig& rig, DType dtype, const Case& c)
      : T(c.tokens()),
        qkv(Matrix::random(rig, dtype, T, (c.H + 2 * c.G) * c.D, 1, 8)),
        dout(Matrix::random(rig, dtype, T, c.H * c.D, 2, 3)),
        out(rig, dtype, T, c.H * c.D, 5),
        dqkv(rig, dtype, T, (c.H + 2 * c.G) * c.D, 1),
        log_sum_exp(rig, T * c.H),
        cu_seqlens(c.cu_seqlens()),
        cu_seqlens_on_device(rig, cu_seqlens) {
    shape = {.H = c.H,
             .G = c.G,
             .D = c.D,
             .window = c.window,
             .scale = static_cast<float>(c.scale()),
             .cu_seqlens = cu_seqlens.data(),
             .N = static_cast<int64_t>(c.documents.size()),
             .cu_seqlens_on_device = cu_seqlens_on_device.data(),
             .softcap = static_cast<float>(c.softcap)};
  }
  View q(const Matrix& m) const { return m.view().cols_from(0, shape.H * shape.D); }
  View k(const Matrix& m) const { return m.view().cols_from(shape.H * shape.D, shape.G * shape.D); }
  View v(const Matrix& m) const { return m.view().cols_from((shape.H + shape.G) * shape.D, shape.G * shape.D); }

  void forward(Rig& rig) {
    rig.kernels->attention.forward(*rig.stream, shape, q(qkv), k(qkv), v(qkv), out, log_sum_exp.data());
  }
  void backward(Rig& rig) {
    rig.kernels->attention.backward(*rig.stream, shape, q(qkv), k(qkv), v(qkv), out, log_sum_exp.data(), dout, q(dqkv),
                                    k(dqkv), v(dqkv));
  }

  int64_t T;
  Matrix qkv, dout, out, dqkv;
  Array<float> log_sum_exp;
  std::vector<int32_t> cu_seqlens;
  Array<int32_t> cu_seqlens_on_device;
  AttentionShape shape{};
};

/// Attention as it is written down, in double, with whole rows of scores.
struct Reference {
  Reference(const Case& c, const Values& qkv) : c_(c), width_((c.H + 2 * c.G) * c.D), qkv_(qkv) {
    out.resize(static_cast<size_t>(c.tokens() * c.H * c.D));
    log_sum_exp.resize(static_cast<size_t>(c.tokens() * c.H));
    for_queries([&](int64_t t, int64_t h, int64_t first) {
      const Values p = probabilities(t, h, first);
      for (int64_t s = first; s <= t; ++s)
        for (int64_t d = 0; d < c.D; ++d) out_at(t, h, d) += p[static_cast<size_t>(s - first)] * v(s, h, d);
    });
  }

  Values backward(const Values& dout) {
    Values dqkv(qkv_.size());
    for_queries([&](int64_t t, int64_t h, int64_t first) {
      const Values p = probabilities(t, h, first);
      const double* dy = &dout[index(t, h)];
      double delta = 0;
      for (int64_t d = 0; d < c_.D; ++d) delta += dy[d] * out_at(t, h, d);
      for (int64_t s = first; s <= t; ++s) {
        double dp = 0;
        for (int64_t d = 0; d < c_.D; ++d) dp += dy[d] * v(s, h, d);
        const double probability = p[static_cast<size_t>(s - first)];
        const double ds = probability * (dp - delta) * c_.scale() * slope(score(t, h, s));
        for (int64_t d = 0; d < c_.D; ++d) {
          dqkv[q_index(t, h) + static_cast<size_t>(d)] += ds * k(s, h, d);
          dqkv[k_index(s, h) + static_cast<size_t>(d)] += ds * qkv_[q_index(t, h) + static_cast<size_t>(d)];
          dqkv[v_index(s, h) + static_cast<size_t>(d)] += probability * dy[d];
        }
      }
    });
    return dqkv;
  }

  Values out, log_sum_exp;

 private:
  /// f(token, head, the first token it sees).
  template <typename F>
  void for_queries(const F& f) {
    int64_t begin = 0;
    for (const int64_t length : c_.documents) {
      for (int64_t t = begin; t < begin + length; ++t)
        for (int64_t h = 0; h < c_.H; ++h) f(t, h, c_.window > 0 ? std::max(begin, t - c_.window + 1) : begin);
      begin += length;
    }
  }
  double score(int64_t t, int64_t h, int64_t s) const {
    double product = 0;
    for (int64_t d = 0; d < c_.D; ++d) product += qkv_[q_index(t, h) + static_cast<size_t>(d)] * k(s, h, d);
    const double scaled = product * c_.scale();
    return c_.softcap > 0 ? c_.softcap * std::tanh(scaled / c_.softcap) : scaled;
  }
  double slope(double score) const { return c_.softcap > 0 ? 1 - score / c_.softcap * (score / c_.softcap) : 1; }
  Values probabilities(int64_t t, int64_t h, int64_t first) {
    Values scores;
    for (int64_t s = first; s <= t; ++s) scores.push_back(score(t, h, s));
    const double max = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (const double score : scores) sum += std::exp(score - max);
    for (double& score : scores) score = std::exp(score - max) / sum;
    log_sum_exp[static_cast<size_t>(t * c_.H + h)] = max + std::log(sum);
    return scores;
  }
  size_t index(int64_t t, int64_t h) const { return static_cast<size_t>((t * c_.H + h) * c_.D); }
  double& out_at(int64_t t, int64_t h, int64_t d) { return out[index(t, h) + static_cast<size_t>(d)]; }
  size_t q_index(int64_t t, int64_t h) const { return static_cast<size_t>(t * width_ + h * c_.D); }
  size_t k_index(int64_t t, int64_t h) const {
    return static_cast<size_t>(t * width_ + (c_.H + h / (c_.H / c_.G)) * c_.D);
  }
  size_t v_index(int64_t t, int64_t h) const { return k_index(t, h) + static_cast<size_t>(c_.G * c_.D); }
  double k(int64_t t, int64_t h, int64_t d) const { return qkv_[k_index(t, h) + static_cast<size_t>(d)]; }
  double v(int64_t t, int64_t h, int64_t d) const { return qkv_[v_index(t, h) + static_cast<size_t>(d)]; }

  Case c_;
  int64_t width_;
  Values qkv_;
};

/// In bf16 the probabilities are rounded before they are multiplied, besides the result.  The first rows are means of
/// few values, far larger than the rms of them all.
double forward_tolerance(DType dtype) { return (dtype == DType::bf16 ? 8 : 1) * tolerance(dtype); }
/// In bf16 so are the gradients of the scores, and these are differences with delta = Σ dout·out, which takes one
/// rounding of each out.  Where a query sees few keys, differences that should cancel leave those roundings: single
/// elements are far off for their size, while all of them together are as near as their type allows (distance()).
double backward_tolerance(DType dtype) { return (dtype == DType::bf16 ? 24 : 1) * tolerance(dtype); }

template <typename Claim>
void for_every_case(const Claim& claim) {
  on_every_device([&](Rig& rig) {
    for (const Case& c : cases) {
      INFO(c);
      claim(rig, c);
    }
  });
}

TEMPLATE_TEST_CASE("attention_forward is softmax of causal scores times values", "[kernels][attention]", float, bf16) {
  const DType dtype = dtype_of<TestType>();
  for_every_case([&](Rig& rig, const Case& c) {
    Batch batch(rig, dtype, c);
    batch.forward(rig);
    const Reference reference(c, batch.qkv.values());
    const Values found = batch.out.values();
    REQUIRE_THAT(found, near(reference.out, forward_tolerance(dtype)));
    REQUIRE(distance(found, reference.out) < tolerance(dtype));
    REQUIRE(batch.out.intact());
  });
}

TEMPLATE_TEST_CASE("attention_forward keeps the logarithm of each row's sum", "[kernels][attention]", float, bf16) {
  for_every_case([&](Rig& rig, const Case& c) {
    Batch batch(rig, dtype_of<TestType>(), c);
    batch.forward(rig);
    const std::vector<float> found = batch.log_sum_exp.values();
    const Reference reference(c, batch.qkv.values());
    REQUIRE_THAT(Values(found.begin(), found.end()), near(reference.log_sum_exp, tolerance(DType::f32)));
  });
}

TEMPLATE_TEST_CASE("attention_backward gives the gradients of queries, keys and values", "[kernels][attention]", float,
                   bf16) {
  const DType dtype = dtype_of<TestType>();
  for_every_case([&](Rig& rig, const Case& c) {
    Batch batch(rig, dtype, c);
    batch.forward(rig);
    batch.backward(rig);
    Reference reference(c, batch.qkv.values());
    const Values found = batch.dqkv.values(), expected = reference.backward(batch.dout.values());
    REQUIRE_THAT(found, near(expected, backward_tolerance(dtype)));
    REQUIRE(distance(found, expected) < tolerance(dtype));
    REQUIRE(batch.dqkv.intact());
  });
}

TEST_CASE("the reference gradients of attention agree with finite differences", "[kernels][attention]") {
  for (const Case& c : {Case{2, 1, 3, 0, {4, 3}}, Case{2, 2, 2, 2, {5}}, Case{2, 1, 3, 0, {4, 3}, 0.75}}) {
    const Values qkv = random_values(c.tokens() * (c.H + 2 * c.G) * c.D, 1);
    const Values dout = random_values(c.tokens() * c.H * c.D, 2);
    const Values differences =
        gradient_by_differences([&](const Values& x) { return dot(Reference(c, x).out, dout); }, qkv);
    REQUIRE_THAT(Reference(c, qkv).backward(dout), near(differences, 1e-8));
  }
}

TEMPLATE_TEST_CASE("attention gives the same bits again", "[kernels][attention]", float, bf16) {
  on_every_device([&](Rig& rig) {
    const Case c{6, 2, 16, 0, {200, 31, 64}};
    Batch first(rig, dtype_of<TestType>(), c), second(rig, dtype_of<TestType>(), c);
    for (Batch* batch : {&first, &second}) {
      batch->forward(rig);
      batch->backward(rig);
    }
    REQUIRE(first.out.bits() == second.out.bits());
    REQUIRE(first.dqkv.bits() == second.dqkv.bits());
  });
}

TEST_CASE("a document's attention is not touched by its neighbours", "[kernels][attention]") {
  on_every_device([&](Rig& rig) {
    const Case c{2, 1, 16, 0, {70, 33, 50}};
    Batch batch(rig, DType::bf16, c), other(rig, DType::bf16, c);
    Values values = batch.qkv.values();
    const auto width = static_cast<size_t>(batch.qkv.view().cols);
    for (size_t i = 0; i < values.size(); ++i)
      if (i / width < 70 || i / width >= 103) values[i] = std::nan("");
    other.qkv.set(values);
    batch.forward(rig);
    other.forward(rig);
    batch.backward(rig);
    other.backward(rig);
    const auto middle = [](const Matrix& m) {
      const auto bits = m.bits();
      const auto row = static_cast<std::ptrdiff_t>(m.view().cols);
      return std::vector<uint32_t>(bits.begin() + 70 * row, bits.begin() + 103 * row);
    };
    REQUIRE(middle(batch.out) == middle(other.out));
    REQUIRE(middle(batch.dqkv) == middle(other.dqkv));
  });
}

TEST_CASE("attention takes scores of any size", "[kernels][attention]") {
  on_every_device([](Rig& rig) {
    const Case c{2, 1, 16, 0, {300}};
    Batch batch(rig, DType::f32, c);
    Values values = batch.qkv.values();
    for (double& value : values) value *= 100;  // scores of some ten thousands: exp overflows without the maximum
    batch.qkv.set(values);
    batch.forward(rig);
    batch.backward(rig);
    Reference reference(c, batch.qkv.values());
    REQUIRE_THAT(batch.out.values(), near(reference.out, 1e-2));
  });
}

TEST_CASE("attention over no tokens does nothing", "[kernels][attention]") {
  on_every_device([&](Rig& rig) {
    Batch batch(rig, DType::bf16, {2, 1, 16, 0, {}});
    batch.forward(rig);
    batch.backward(rig);
    rig.stream->synchronize();
  });
}

TEMPLATE_TEST_CASE("attention_decode is the last row of attention_forward", "[kernels][attention]", float, bf16) {
  const DType dtype = dtype_of<TestType>();
  on_every_device([&](Rig& rig) {
    for (const Case& c : cases) {
      if (std::count(c.documents.begin(), c.documents.end(), 0) > 0) continue;
      INFO(c);
      Batch batch(rig, dtype, c);
      const auto B = static_cast<int64_t>(c.documents.size());
      Values queries, expected;
      std::vector<View> k_cache, v_cache;
      const Values qkv = batch.qkv.values();
      const Reference reference(c, qkv);
      for (int64_t b = 0; b < B; ++b) {
        const int64_t begin = batch.cu_seqlens[static_cast<size_t>(b)],
                      last = batch.cu_seqlens[static_cast<size_t>(b + 1)] - 1, length = last + 1 - begin;
        const auto* q = &qkv[static_cast<size_t>(last * batch.qkv.view().cols)];
        const auto* out = &reference.out[static_cast<size_t>(last * c.H * c.D)];
        queries.insert(queries.end(), q, q + c.H * c.D);
        expected.insert(expected.end(), out, out + c.H * c.D);
        k_cache.push_back(batch.k(batch.qkv).rows_from(begin, length));
        v_cache.push_back(batch.v(batch.qkv).rows_from(begin, length));
      }
      const Matrix q(rig, dtype, B, c.H * c.D, queries, 2);
      Matrix out(rig, dtype, B, c.H * c.D, 1);
      rig.kernels->attention.decode(*rig.stream, batch.shape, q, k_cache.data(), v_cache.data(), c.documents.data(),
                                    out);
      REQUIRE_THAT(out.values(), near(expected, tolerance(dtype)));
      REQUIRE(out.intact());
    }
  });
}

}  // namespace
}  // namespace tessera::test
