#include "kernels/cuda/attention_description.h"

#include <catch2/catch.hpp>
#include <numeric>

#include "base/number.h"
#include "support/kernel_test.h"

// What cuDNN is asked for, executed as its documentation defines it, against attention as it is written down.
namespace tessera::test {
namespace {

using D = AttentionDescription;

struct Case {
  int64_t H, G, D, window;
  std::vector<int64_t> documents;  // their lengths

  int64_t tokens() const { return std::accumulate(documents.begin(), documents.end(), int64_t{0}); }
};

const std::vector<Case> cases = {{2, 2, 64, 0, {5, 1, 3}}, {4, 2, 64, 0, {7, 0, 6}}, {3, 1, 72, 0, {9}},
                                 {4, 1, 64, 1, {6, 2}},    {2, 1, 128, 3, {8, 3}},   {2, 2, 64, 5, {11, 4, 1}}};

constexpr double untouched = 1e30;
constexpr uintptr_t address = 4096;  // of every memory

constexpr int64_t plenty = int64_t{1} << 31;  // bytes of scores

/// Rows of elements; a slice is told by its first column.  Addresses stand for what a GPU would be given.
struct Memory {
  Memory(int64_t rows, int64_t cols, uint64_t seed)
      : cols_(cols),
        elements(seed == 0 ? Values(static_cast<size_t>(rows * cols), untouched)
                           : random_values(rows * cols, seed, 0.7)) {}

  ConstView slice(int64_t rows, int64_t first, int64_t width) const {
    return {reinterpret_cast<const void*>(address + static_cast<uintptr_t>(2 * first)), DType::bf16, rows, width,
            cols_};
  }

  int64_t cols_;
  Values elements;
};

/// A tensor of the description where it lies.
struct Bound {
  const AttentionTensor* tensor;
  Memory* memory;
  int64_t first;  // element

  double& at(const std::vector<std::vector<int64_t>>& offsets, int64_t b, int64_t head, int64_t position,
             int64_t column) const {
    const auto& stride = tensor->stride;
    const int64_t element = offsets[static_cast<size_t>(tensor->offsets)][static_cast<size_t>(b)] + head * stride[1] +
                            position * stride[2] + column * stride[3];
    return memory->elements.at(static_cast<size_t>(first + element));
  }
};

/// A batch as the model holds it: q, k, v are columns of one matrix, their gradients of another one.
struct Batch {
  explicit Batch(const Case& c)
      : T(c.tokens()),
        qkv(T, (c.H + 2 * c.G) * c.D + 8, 1),
        out(T, c.H * c.D + 16, 0),
        dout(T, c.H * c.D + 24, 2),
        dqkv(T, (c.H + 2 * c.G) * c.D, 0),
        statistics(T, c.H, 0),
        dk(T, c.G * c.D, 0),
        dv(T, c.G * c.D, 0) {
    for (const int64_t length : c.documents) cu_seqlens.push_back(cu_seqlens.back() + narrow<int32_t>(length));
    shape = {.H = c.H,
             .G = c.G,
             .D = c.D,
             .window = c.window,
             .scale = 0.11f,
             .cu_seqlens = cu_seqlens.data(),
             .N = static_cast<int64_t>(c.documents.size())};
    q_width = c.H * c.D, k_width = c.G * c.D;
  }

  /// In a job whose batches have at most so many tokens.
  std::vector<AttentionGroup> groups(int64_t tokens) const { return attention_groups(shape, T, {tokens, plenty}); }
  AttentionGroup whole() const { return groups(1024).at(0); }

  D describe_forward(const AttentionGroup& group) const {
    return describe_attention_forward(shape, group.bucket, qkv.slice(T, 0, q_width), qkv.slice(T, q_width, k_width),
                                      qkv.slice(T, q_width + k_width, k_width), out.slice(T, 0, q_width));
  }
  D describe_backward(const AttentionGroup& group, int64_t parts = 1) const {
    return describe_attention_backward(shape, group.bucket, true, parts, qkv.slice(T, 0, q_width),
                                       qkv.slice(T, q_width, k_width), qkv.slice(T, q_width + k_width, k_width),
                                       out.slice(T, 0, q_width), dout.slice(T, 0, q_width), dqkv.slice(T, 0, q_width),
                                       dqkv.slice(T, q_width, k_width), dqkv.slice(T, q_width + k_width, k_width));
  }
  /// Where share `part` of the heads begins.
  Bound bind(const D& d, D::Role role, int64_t part) {
    const auto at = [&](Memory& memory, int64_t first, int64_t width) -> Bound {
      const ConstView view = attention_part(memory.slice(T, first, width), part, d.parts);
      return {&d[role], &memory, static_cast<int64_t>(reinterpret_cast<uintptr_t>(view.data) - address) / 2};
    };
    switch (role) {
      case D::q:
        return at(qkv, 0, q_width);
      case D::k:
        return at(qkv, q_width, k_width);
      case D::v:
        return at(qkv, q_width + k_width, k_width);
      case D::out:
        return at(out, 0, q_width);
      case D::statistics:
        return at(statistics, 0, shape.H);
      case D::dout:
        return at(dout, 0, q_width);
      case D::dq:
        return at(dqkv, 0, q_width);
      case D::dk:
        return d.key_gradients_apart ? Bound{&d[role], &dk, 0} : at(dqkv, q_width, k_width);
      case D::dv:
        return d.key_gradients_apart ? Bound{&d[role], &dv, 0} : at(dqkv, q_width + k_width, k_width);
      case D::roles:
        break;
    }
    throw std::logic_error("no tensor");
  }
  /// What follows a call whose dk and dv went to memory of their own.
  void copy_key_gradients(const D& d, const AttentionGroup& group, int64_t part) {
    const int64_t width = k_width / d.parts, first = q_width + part * width;
    for (int64_t t = cu_seqlens[static_cast<size_t>(group.first)];
         t < cu_seqlens[static_cast<size_t>(group.first + group.count)]; ++t)
      for (int64_t c = 0; c < width; ++c) {
        const auto from = static_cast<size_t>(t * width + c), to = static_cast<size_t>(t * dqkv.cols_ + first + c);
        dqkv.elements[to] = dk.elements[from];
        dqkv.elements[to + static_cast<size_t>(k_width)] = dv.elements[from];
      }
  }

  int64_t T, q_width, k_width;
  Memory qkv, out, dout, dqkv, statistics, dk, dv;
  std::vector<int32_t> cu_seqlens = {0};
  Kernels::AttentionShape shape{};
};

/// cuDNN's SDPA by its documentation, document by document.
class Executed {
 public:
  Executed(const D& d, Batch& batch, const AttentionGroup& group, int64_t part = 0) : d_(d) {
    for (int role = 0; role < (d.backward ? D::roles : D::statistics + 1); ++role)
      bound_[role] = batch.bind(d, static_cast<D::Role>(role), part);
    const auto begin = [&](int64_t b) {
      return batch.cu_seqlens[static_cast<size_t>(group.first + std::min(b, group.count))];
    };
    for (const int64_t stride : d.offset_strides) {
      offsets_.emplace_back();
      for (int64_t b = 0; b <= d.bucket.documents; ++b) offsets_.back().push_back(begin(b) * stride);
    }
    for (int64_t b = 0; b < d.bucket.documents; ++b) {
      lengths_.push_back(begin(b + 1) - begin(b));
      REQUIRE(lengths_.back() <= d.bucket.longest);
    }
  }

  void forward() {
    for_each_query([&](int64_t b, int64_t h, int64_t i) {
      double sum = 0;
      for (int64_t j = 0; j < lengths_[static_cast<size_t>(b)]; ++j)
        if (sees(i, j)) sum += std::exp(score(b, h, i, j));
      at(D::statistics, b, h, i, 0) = std::log(sum);
      for (int64_t c = 0; c < width(); ++c) {
        double value = 0;
        for (int64_t j = 0; j < lengths_[static_cast<size_t>(b)]; ++j)
          if (sees(i, j)) value += std::exp(score(b, h, i, j)) / sum * at(D::v, b, key_head(h), j, c);
        at(D::out, b, h, i, c) = value;
      }
    });
  }

  /// Dao 2023 (FlashAttention-2), algorithm 2, without blocks.
  void backward() {
    for_each_query([&](int64_t b, int64_t h, int64_t i) {
      for (int64_t c = 0; c < width(); ++c) at(D::dq, b, h, i, c) = 0;
      for (int64_t c = 0; c < width(); ++c) at(D::dk, b, key_head(h), i, c) = at(D::dv, b, key_head(h), i, c) = 0;
    });
    for_each_query([&](int64_t b, int64_t h, int64_t i) {
      double dot = 0;
      for (int64_t c = 0; c < width(); ++c) dot += at(D::dout, b, h, i, c) * at(D::out, b, h, i, c);
      for (int64_t j = 0; j < lengths_[static_cast<size_t>(b)]; ++j)
        if (sees(i, j)) add_pair(b, h, i, j, dot);
    });
  }

 private:
  double& at(D::Role role, int64_t b, int64_t head, int64_t position, int64_t column) {
    return bound_[role].at(offsets_, b, head, position, column);
  }
  int64_t heads() const { return d_[D::q].dim[1]; }
  int64_t width() const { return d_[D::q].dim[3]; }
  int64_t key_head(int64_t h) const { return h / (heads() / d_[D::k].dim[1]); }
  bool sees(int64_t i, int64_t j) const {
    return j <= i + d_.right_bound && (d_.left_bound == 0 || j > i - d_.left_bound);
  }
  double score(int64_t b, int64_t h, int64_t i, int64_t j) {
    double sum = 0;
    for (int64_t c = 0; c < width(); ++c) sum += at(D::q, b, h, i, c) * at(D::k, b, key_head(h), j, c);
    return static_cast<double>(d_.scale) * sum;
  }
  void add_pair(int64_t b, int64_t h, int64_t i, int64_t j, double dot) {
    const double p = std::exp(score(b, h, i, j) - at(D::statistics, b, h, i, 0));
    double dp = 0;
    for (int64_t c = 0; c < width(); ++c) dp += at(D::dout, b, h, i, c) * at(D::v, b, key_head(h), j, c);
    const double ds = static_cast<double>(d_.scale) * p * (dp - dot);
    for (int64_t c = 0; c < width(); ++c) {
      at(D::dq, b, h, i, c) += ds * at(D::k, b, key_head(h), j, c);
      at(D::dk, b, key_head(h), j, c) += ds * at(D::q, b, h, i, c);
      at(D::dv, b, key_head(h), j, c) += p * at(D::dout, b, h, i, c);
    }
  }
  template <typename F>
  void for_each_query(const F& f) {
    for (int64_t b = 0; b < d_.bucket.documents; ++b)
      for (int64_t h = 0; h < heads(); ++h)
        for (int64_t i = 0; i < lengths_[static_cast<size_t>(b)]; ++i) f(b, h, i);
  }

  const D& d_;
  std::array<Bound, D::roles> bound_{};
  std::vector<std::vector<int64_t>> offsets_;
  std::vector<int64_t> lengths_;
};

/// Attention over the whole batch: a token sees what is of its document, not after it and within the window.
struct Plain {
  Plain(const Case& c, const Batch& batch) : c_(c), batch_(batch) {
    const auto n = static_cast<size_t>(batch.T * c.H * c.D), keys = static_cast<size_t>(batch.T * c.G * c.D);
    out.resize(n), dq.resize(n), dk.resize(keys), dv.resize(keys),
        log_sum_exp.resize(static_cast<size_t>(batch.T * c.H));
    for (int64_t n_doc = 0; n_doc < batch.shape.N; ++n_doc)
      for (int64_t t = batch.cu_seqlens[static_cast<size_t>(n_doc)];
           t < batch.cu_seqlens[static_cast<size_t>(n_doc + 1)]; ++t)
        for (int64_t h = 0; h < c.H; ++h) query(t, h, batch.cu_seqlens[static_cast<size_t>(n_doc)]);
  }

  Values out, log_sum_exp, dq, dk, dv;

 private:
  double from(const Memory& m, int64_t t, int64_t col) const {
    return m.elements[static_cast<size_t>(t * m.cols_ + col)];
  }
  double qkv(int64_t t, int64_t col) const { return from(batch_.qkv, t, col); }

  void query(int64_t t, int64_t h, int64_t begin) {
    const int64_t first = c_.window > 0 ? std::max(begin, t - c_.window + 1) : begin;
    const int64_t g = h / (c_.H / c_.G), q = h * c_.D, k = (c_.H + g) * c_.D, v = (c_.H + c_.G + g) * c_.D;
    const auto scale = static_cast<double>(batch_.shape.scale);
    Values p, dp;
    double sum = 0, dot = 0;
    for (int64_t s = first; s <= t; ++s) {
      double score = 0, product = 0;
      for (int64_t i = 0; i < c_.D; ++i) score += qkv(t, q + i) * qkv(s, k + i);
      for (int64_t i = 0; i < c_.D; ++i) product += from(batch_.dout, t, q + i) * qkv(s, v + i);
      p.push_back(std::exp(scale * score)), dp.push_back(product);
      sum += p.back();
    }
    for (size_t s = 0; s < p.size(); ++s) p[s] /= sum, dot += p[s] * dp[s];
    log_sum_exp[static_cast<size_t>(t * c_.H + h)] = std::log(sum);
    for (int64_t s = first; s <= t; ++s)
      for (int64_t i = 0; i < c_.D; ++i) {
        const double weight = p[static_cast<size_t>(s - first)],
                     ds = scale * weight * (dp[static_cast<size_t>(s - first)] - dot);
        const auto row = static_cast<size_t>(t * c_.H * c_.D + q + i),
                   key = static_cast<size_t>((s * c_.G + g) * c_.D + i);
        out[row] += weight * qkv(s, v + i);
        dq[row] += ds * qkv(s, k + i);
        dk[key] += ds * qkv(t, q + i);
        dv[key] += weight * from(batch_.dout, t, q + i);
      }
  }

  const Case& c_;
  const Batch& batch_;
};

Values columns(const Memory& m, int64_t first, int64_t width) {
  Values values;
  for (size_t row = 0; row < m.elements.size(); row += static_cast<size_t>(m.cols_))
    values.insert(values.end(), m.elements.begin() + static_cast<std::ptrdiff_t>(row) + first,
                  m.elements.begin() + static_cast<std::ptrdiff_t>(row) + first + width);
  return values;
}

bool all_untouched(const Values& values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return value == untouched; });
}

template <typename Claim>
void for_every_case(const Claim& claim) {
  for (const Case& c : cases) {
    INFO("H " << c.H << ", G " << c.G << ", D " << c.D << ", window " << c.window << ", T " << c.tokens());
    Batch batch(c);
    claim(batch, Plain(c, batch));
  }
}

constexpr double rounding = 1e-10;

TEST_CASE("the description of attention_forward is attention inside each document, in any groups of them",
          "[kernels][attention][description]") {
  for (const int64_t tokens : {0, 256, 1024})
    for_every_case([&](Batch& batch, const Plain& expected) {
      for (const AttentionGroup& group : batch.groups(tokens))
        Executed(batch.describe_forward(group), batch, group).forward();
      REQUIRE_THAT(columns(batch.out, 0, batch.q_width), near(expected.out, rounding));
      REQUIRE_THAT(batch.statistics.elements, near(expected.log_sum_exp, rounding));
      REQUIRE(all_untouched(columns(batch.out, batch.q_width, 16)));
    });
}

TEST_CASE("the description of attention_backward is its gradient, in one part of the heads after the other",
          "[kernels][attention][description]") {
  for (const int64_t tokens : {0, 256, 1024})
    for (const int64_t parts : {1, 2})
      for_every_case([&](Batch& batch, const Plain& expected) {
        if (batch.shape.G % parts != 0) return;
        for (const AttentionGroup& group : batch.groups(tokens)) {
          const D forward = batch.describe_forward(group), d = batch.describe_backward(group, parts);
          REQUIRE(d.key_gradients_apart == (batch.shape.H > batch.shape.G));
          Executed(forward, batch, group).forward();
          for (int64_t part = 0; part < parts; ++part) {
            Executed(d, batch, group, part).backward();
            if (d.key_gradients_apart) batch.copy_key_gradients(d, group, part);
          }
        }
        REQUIRE_THAT(columns(batch.dqkv, 0, batch.q_width), near(expected.dq, rounding));
        REQUIRE_THAT(columns(batch.dqkv, batch.q_width, batch.k_width), near(expected.dk, rounding));
        REQUIRE_THAT(columns(batch.dqkv, batch.q_width + batch.k_width, batch.k_width), near(expected.dv, rounding));
      });
}

TEST_CASE("heads are shared out with their key heads, and so that statistics stay aligned",
          "[kernels][attention][description]") {
  const auto parts = [](int64_t H, int64_t G, int64_t wanted) {
    Kernels::AttentionShape shape{};
    shape.H = H;
    shape.G = G;
    return attention_parts(shape, wanted);
  };
  CHECK(parts(32, 8, 1) == 1);
  CHECK(parts(32, 8, 3) == 4);
  CHECK(parts(32, 8, 8) == 8);
  CHECK(parts(32, 8, 9) == 0);
  CHECK(parts(9, 3, 1) == 1);
  CHECK(parts(9, 3, 2) == 0);
  CHECK(parts(24, 8, 2) == 2);
  CHECK(parts(24, 8, 3) == 0);  // parts of 6 and 3 heads
}

TEST_CASE("tensors of a description have the documents and lengths of its bucket",
          "[kernels][attention][description]") {
  const Batch batch({4, 2, 64, 0, {7, 0, 6}});
  const D d = batch.describe_backward(batch.whole());
  REQUIRE(d.bucket == AttentionBucket{4, 128, 1024});
  for (const AttentionTensor& tensor : d.tensors) {
    CHECK(tensor.dim[0] == 4);
    CHECK(tensor.dim[2] == 128);
    CHECK(tensor.stride[3] == 1);
    CHECK(tensor.stride[0] == 128 * tensor.stride[2]);
    CHECK(d.offset_strides.at(static_cast<size_t>(tensor.offsets)) == tensor.stride[2]);
  }
  CHECK(d[D::statistics].dim[3] == 1);
  CHECK(d[D::statistics].dim[1] == 4);
  CHECK(d[D::dk].dim[1] == 2);
}

TEST_CASE("a gradient is as large as what it is the gradient of", "[kernels][attention][description]") {
  const Batch batch({4, 2, 64, 0, {7, 0, 6}});
  for (const int64_t parts : {1, 2}) {
    const D d = batch.describe_backward(batch.whole(), parts);
    CHECK(d[D::q].dim[1] == 4 / parts);
    CHECK(d[D::k].dim[1] == 2 / parts);
    CHECK(d[D::dq].dim == d[D::q].dim);
    CHECK(d[D::dk].dim == d[D::k].dim);
    CHECK(d[D::dv].dim == d[D::v].dim);
    CHECK(d[D::dout].dim == d[D::out].dim);
    CHECK(d[D::out].dim == d[D::q].dim);
    CHECK(d[D::v].dim == d[D::k].dim);
  }
}

TEST_CASE("a gradient that lies as its tensor does is described alike", "[kernels][attention][description]") {
  const Batch batch({2, 2, 64, 0, {5}});
  const ConstView all = batch.dqkv.slice(5, 0, 128);
  for (const int64_t parts : {1, 2}) {
    const D d =
        describe_attention_backward(batch.shape, {1, 128, 8}, false, parts, all, all, all, all, all, all, all, all);
    REQUIRE(d.offset_strides.size() == 5);
    CHECK(d[D::dq] == d[D::q]);
    CHECK(d[D::dk] == d[D::k]);
    CHECK(d[D::dv] == d[D::v]);
    CHECK(d[D::dout] == d[D::out]);
  }
}

TEST_CASE("cuDNN is asked for bf16, heads of 64 to 256 in eights, and aligned rows",
          "[kernels][attention][description]") {
  const auto obstacle = [](int64_t width, DType dtype, uintptr_t address, int64_t stride) {
    Kernels::AttentionShape shape{};
    shape.D = width;
    return attention_obstacle(shape, {ConstView(reinterpret_cast<const void*>(address), dtype, 9, width, stride)});
  };
  CHECK(obstacle(64, DType::bf16, 4096, 64).empty());
  CHECK(obstacle(256, DType::bf16, 4112, 264).empty());
  CHECK_THAT(obstacle(32, DType::bf16, 4096, 64), Catch::Contains("heads of 32"));
  CHECK_THAT(obstacle(260, DType::bf16, 4096, 260), Catch::Contains("heads of 260"));
  CHECK_THAT(obstacle(68, DType::bf16, 4096, 72), Catch::Contains("heads of 68"));
  CHECK_THAT(obstacle(64, DType::f32, 4096, 64), Catch::Contains("fp32"));
  CHECK_THAT(obstacle(64, DType::bf16, 4098, 64), Catch::Contains("aligned"));
  CHECK_THAT(obstacle(64, DType::bf16, 4096, 68), Catch::Contains("aligned"));
}

TEST_CASE("a description of attention says in words what it asks for", "[kernels][attention][description]") {
  const Batch batch({4, 2, 64, 3, {7, 0, 6}});
  REQUIRE(
      in_words(batch.describe_backward(batch.whole())) ==
      "deterministic attention_backward of at most 4 documents of at most 128 tokens, 4 query and 2 key heads of 64, "
      "window 3");
}

}  // namespace
}  // namespace tessera::test
