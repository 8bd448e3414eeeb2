#include "kernels/cuda/gemm_description.h"

#include <catch2/catch.hpp>

#include "support/kernel_test.h"

// What cuBLASLt is asked for, executed as its documentation defines it, against what linear.h says.
namespace tessera::test {
namespace {

/// Memory of fp32 or bf16 values; what lies beside a slice is NaN, so that reading it shows.
class Memory {
 public:
  Memory(DType dtype, int64_t rows, int64_t cols, int64_t slack_before, int64_t slack_after, uint64_t seed)
      : dtype_(dtype), rows_(rows), cols_(cols), first_(slack_before), stride_(slack_before + cols + slack_after) {
    elements_.assign(static_cast<size_t>(rows * stride_), std::nan(""));
    const Values values = random_values(rows * cols, seed);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c) {
        const auto value = static_cast<float>(values[static_cast<size_t>(r * cols + c)]);
        elements_[index(r, c)] = dtype == DType::bf16 ? static_cast<float>(bf16(value)) : value;
      }
  }

  /// Stands for the memory: its address is never followed, elements are numbered from the view's first.
  ConstView view() const { return {elements_.data() + first_, dtype_, rows_, cols_, stride_}; }
  double at(int64_t r, int64_t c) const { return elements_[index(r, c)]; }
  /// The i-th element from the view's first; outside of the memory there is NaN too.
  double element(int64_t i) const {
    const auto at = static_cast<size_t>(first_ + i);
    return at < elements_.size() ? elements_[at] : std::nan("");
  }
  void set(int64_t i, double value) { elements_.at(static_cast<size_t>(first_ + i)) = value; }
  Values values() const {
    Values values;
    for (int64_t r = 0; r < rows_; ++r)
      for (int64_t c = 0; c < cols_; ++c) values.push_back(at(r, c));
    return values;
  }
  /// Nothing was written beside the slice.
  bool intact() const {
    for (size_t i = 0; i < elements_.size(); ++i) {
      const int64_t col = static_cast<int64_t>(i) % stride_ - first_;
      if ((col < 0 || col >= cols_) && !std::isnan(elements_[i])) return false;
    }
    return true;
  }

 private:
  size_t index(int64_t r, int64_t c) const { return static_cast<size_t>(r * stride_ + first_ + c); }

  DType dtype_;
  int64_t rows_, cols_, first_, stride_;
  std::vector<double> elements_;
};

/// cublasLtMatmul by its documentation: D = epilogue(op(A) op(B) + beta C), every matrix by columns.
void execute(const GemmDescription& d, const Memory& a, const Memory& b, const Memory* bias, const Memory& added,
             Memory& c) {
  for (int64_t i = 0; i < d.m; ++i)
    for (int64_t j = 0; j < d.n; ++j) {
      double sum = d.added ? added.element(j * d.ld_added + i) : 0;
      for (int64_t l = 0; l < d.k; ++l)
        sum += a.element(d.transpose_a ? i * d.lda + l : l * d.lda + i) *
               b.element(d.transpose_b ? l * d.ldb + j : j * d.ldb + l);
      if (d.bias) sum += bias->element(i);
      c.set(j * d.ldc + i, sum);
    }
}

struct Size {
  int64_t T, I, O;
};

const std::vector<Size> sizes = {{1, 1, 1}, {7, 5, 3}, {1, 9, 4}, {5, 1, 3}, {3, 7, 1}, {4, 6, 10}, {11, 2, 5}};
const std::vector<DType> types = {DType::f32, DType::bf16};

/// Every factor a slice of something wider, each of another width.
struct Operands {
  Operands(DType dtype, Size s)
      : x(dtype, s.T, s.I, 2, 1, 1),
        w(dtype, s.O, s.I, 0, 4, 2),
        dy(dtype, s.T, s.O, 1, 5, 3),
        bias(dtype, 1, s.O, 0, 0, 4) {}
  Memory x, w, dy, bias;
};

/// expected(r, c) added to what `before` holds there, if it counts.
template <typename Element>
Values result(const Memory& before, bool accumulate, const Element& expected) {
  const ConstView view = before.view();
  Values values;
  for (int64_t r = 0; r < view.rows; ++r)
    for (int64_t c = 0; c < view.cols; ++c) values.push_back((accumulate ? before.at(r, c) : 0) + expected(r, c));
  return values;
}

Values expected_forward(const Operands& in, Size s, bool with_bias, const Memory& added, Write mode) {
  return result(added, mode == Write::accumulate, [&](int64_t t, int64_t o) {
    double sum = with_bias ? in.bias.at(0, o) : 0;
    for (int64_t i = 0; i < s.I; ++i) sum += in.x.at(t, i) * in.w.at(o, i);
    return sum;
  });
}

Values expected_backward_input(const Operands& in, Size s, const Memory& dx, Write mode) {
  return result(dx, mode == Write::accumulate, [&](int64_t t, int64_t i) {
    double sum = 0;
    for (int64_t o = 0; o < s.O; ++o) sum += in.dy.at(t, o) * in.w.at(o, i);
    return sum;
  });
}

Values expected_backward_weight(const Operands& in, Size s, const Memory& dw, Write mode) {
  return result(dw, mode == Write::accumulate, [&](int64_t o, int64_t i) {
    double sum = 0;
    for (int64_t t = 0; t < s.T; ++t) sum += in.dy.at(t, o) * in.x.at(t, i);
    return sum;
  });
}

constexpr double rounding = 1e-12;  // of doubles: the types' own rounding is not the description's

template <typename Claim>
void for_every_product(const Claim& claim) {
  for (const Size s : sizes)
    for (const DType dtype : types)
      for (const Write mode : {Write::overwrite, Write::accumulate}) {
        INFO("T " << s.T << ", I " << s.I << ", O " << s.O << ", " << name_of(dtype)
                  << (mode == Write::accumulate ? ", accumulated" : ""));
        claim(s, dtype, mode);
      }
}

TEST_CASE("the description of linear_forward is x times w transposed", "[kernels][gemm][description]") {
  for_every_product([](Size s, DType dtype, Write mode) {
    for (const DType result : {dtype, DType::f32}) {
      const Operands in(dtype, s);
      Memory y(result, s.T, s.O, 3, 2, 5);
      const Memory added(result, s.T, s.O, 1, 3, 6);
      const Values expected = expected_forward(in, s, false, added, mode);
      const GemmDescription d =
          describe_linear_forward(in.x.view(), in.w.view(), {}, addend(added.view(), mode), y.view());
      execute(d, in.w, in.x, nullptr, added, y);
      REQUIRE_THAT(y.values(), near(expected, rounding));
      REQUIRE(y.intact());
      REQUIRE((d.factors == dtype && d.result == result));
    }
  });
}

TEST_CASE("the description of linear_forward adds the bias to every row", "[kernels][gemm][description]") {
  for_every_product([](Size s, DType dtype, Write mode) {
    const Operands in(dtype, s);
    Memory y(dtype, s.T, s.O, 0, 2, 5);
    const Values expected = expected_forward(in, s, true, y, mode);
    execute(describe_linear_forward(in.x.view(), in.w.view(), in.bias.view(), addend(y.view(), mode), y.view()), in.w,
            in.x, &in.bias, y, y);
    REQUIRE_THAT(y.values(), near(expected, rounding));
    REQUIRE(y.intact());
  });
}

TEST_CASE("the description of linear_backward_input is dy times w", "[kernels][gemm][description]") {
  for_every_product([](Size s, DType dtype, Write mode) {
    const Operands in(dtype, s);
    Memory dx(dtype, s.T, s.I, 1, 3, 5);
    const Values expected = expected_backward_input(in, s, dx, mode);
    execute(describe_linear_backward_input(in.dy.view(), in.w.view(), dx.view(), mode), in.w, in.dy, nullptr, dx, dx);
    REQUIRE_THAT(dx.values(), near(expected, rounding));
    REQUIRE(dx.intact());
  });
}

TEST_CASE("the description of linear_backward_weight is dy transposed times x in fp32",
          "[kernels][gemm][description]") {
  for_every_product([](Size s, DType dtype, Write mode) {
    const Operands in(dtype, s);
    Memory dw(DType::f32, s.O, s.I, 2, 2, 5);
    const Values expected = expected_backward_weight(in, s, dw, mode);
    const GemmDescription d = describe_linear_backward_weight(in.dy.view(), in.x.view(), dw.view(), mode);
    execute(d, in.x, in.dy, nullptr, dw, dw);
    REQUIRE_THAT(dw.values(), near(expected, rounding));
    REQUIRE(dw.intact());
    REQUIRE((d.factors == dtype && d.result == DType::f32));
  });
}

/// So that the tests above would see it.
TEST_CASE("no field of a description can be another one's", "[kernels][gemm][description]") {
  const Size s{7, 5, 3};
  const Operands in(DType::f32, s);
  const Memory dw(DType::f32, s.O, s.I, 2, 2, 5);
  const Values expected = expected_backward_weight(in, s, dw, Write::accumulate);
  const GemmDescription right =
      describe_linear_backward_weight(in.dy.view(), in.x.view(), dw.view(), Write::accumulate);
  const auto wrong = [&](auto&& mistake) {
    GemmDescription d = right;
    mistake(d);
    Memory c = dw;
    try {
      execute(d, in.x, in.dy, nullptr, c, c);
    } catch (const std::out_of_range&) {
      return true;  // it would write beside the memory
    }
    return !near(expected, rounding).match(c.values());
  };
  REQUIRE_FALSE(wrong([](GemmDescription&) {}));
  CHECK(wrong([](GemmDescription& d) { std::swap(d.lda, d.ldb); }));
  CHECK(wrong([](GemmDescription& d) { std::swap(d.m, d.n); }));
  CHECK(wrong([](GemmDescription& d) { d.transpose_a = !d.transpose_a; }));
  CHECK(wrong([](GemmDescription& d) { d.transpose_b = !d.transpose_b; }));
  CHECK(wrong([](GemmDescription& d) { d.added = false; }));
  CHECK(wrong([](GemmDescription& d) { ++d.ld_added; }));
  CHECK(wrong([](GemmDescription& d) { --d.k; }));
}

TEST_CASE("a product of no tokens is empty", "[kernels][gemm][description]") {
  const Operands in(DType::bf16, {0, 8, 4});
  const Memory dw(DType::f32, 4, 8, 0, 0, 5), y(DType::bf16, 0, 4, 0, 0, 6), dx(DType::bf16, 0, 8, 0, 0, 7);
  REQUIRE(describe_linear_forward(in.x.view(), in.w.view(), {}, {}, y.view()).empty());
  REQUIRE(describe_linear_backward_input(in.dy.view(), in.w.view(), dx.view(), Write::overwrite).empty());
  REQUIRE(describe_linear_backward_weight(in.dy.view(), in.x.view(), dw.view(), Write::accumulate).empty());
}

TEST_CASE("one row has a leading dimension whatever its stride", "[kernels][gemm][description]") {
  const std::vector<float> values(64);
  const ConstView x(values.data(), DType::f32, 1, 5, 0), w(values.data(), DType::f32, 3, 5),
      y(values.data(), DType::f32, 1, 3, 0);
  const GemmDescription d = describe_linear_forward(x, w, {}, y, y);
  REQUIRE(d.ldb == 5);
  REQUIRE(d.ldc == 3);
  REQUIRE(d.ld_added == 3);
}

TEST_CASE("views that do not fit together are refused with their sizes", "[kernels][gemm][description]") {
  const std::vector<float> memory(64);
  const auto view = [&](DType dtype, int64_t rows, int64_t cols) {
    return ConstView(memory.data(), dtype, rows, cols);
  };
  const ConstView x = view(DType::bf16, 2, 3), w = view(DType::bf16, 4, 3), y = view(DType::bf16, 2, 4);
  REQUIRE_THROWS_WITH(describe_linear_forward(x, w, {}, {}, view(DType::bf16, 2, 5)),
                      Catch::Contains("[2, 3]") && Catch::Contains("[2, 5]"));
  REQUIRE_THROWS_AS(describe_linear_forward(x, view(DType::f32, 4, 3), {}, {}, y), std::logic_error);
  REQUIRE_THROWS_AS(describe_linear_backward_weight(y, x, view(DType::bf16, 4, 3), Write::accumulate),
                    std::logic_error);
  REQUIRE_THROWS_AS(describe_linear_backward_input(y, w, view(DType::i32, 2, 3), Write::overwrite), std::logic_error);
}

TEST_CASE("a bias is as long as a row of the result and of its type", "[kernels][gemm][description]") {
  const std::vector<float> memory(64);
  const auto view = [&](DType dtype, int64_t rows, int64_t cols) {
    return ConstView(memory.data(), dtype, rows, cols);
  };
  const ConstView x = view(DType::bf16, 2, 3), w = view(DType::bf16, 4, 3);
  REQUIRE_THROWS_WITH(describe_linear_forward(x, w, view(DType::bf16, 1, 3), {}, view(DType::bf16, 2, 4)),
                      Catch::Contains("bias"));
  REQUIRE_THROWS_WITH(describe_linear_forward(x, w, view(DType::bf16, 1, 4), {}, view(DType::f32, 2, 4)),
                      Catch::Contains("bias"));
}

TEST_CASE("what is added is as large as the result and of its type", "[kernels][gemm][description]") {
  const std::vector<float> memory(64);
  const auto view = [&](DType dtype, int64_t rows, int64_t cols) {
    return ConstView(memory.data(), dtype, rows, cols);
  };
  const ConstView x = view(DType::bf16, 2, 3), w = view(DType::bf16, 4, 3), y = view(DType::bf16, 2, 4);
  for (const ConstView& added : {view(DType::f32, 2, 4), view(DType::bf16, 3, 4), view(DType::bf16, 2, 3)})
    REQUIRE_THROWS_WITH(describe_linear_forward(x, w, {}, added, y), Catch::Contains("cannot be added"));
}

TEST_CASE("a description says in words what it asks for", "[kernels][gemm][description]") {
  const Operands in(DType::bf16, {7, 5, 3});
  const Memory dw(DType::f32, 3, 5, 2, 2, 5);
  REQUIRE(in_words(describe_linear_backward_weight(in.dy.view(), in.x.view(), dw.view(), Write::accumulate)) ==
          "bf16 [5, 7] x bf16 [3, 7]ᵀ -> fp32 [5, 3], leading dimensions 8, 9, 9, added to one of 9");
}

}  // namespace
}  // namespace tessera::test
