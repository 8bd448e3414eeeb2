#include <catch2/catch.hpp>
#include <string>
#include <utility>

#include "support/kernel_test.h"

// Kernels that go through rows read and write 16 bytes at a time where the rows' addresses allow it, and one element at
// a time where not.  The other tests compare with references, mostly on rows that lie anywhere; these compare the two
// ways, on rows from one piece to more than a block of threads keeps in registers.
namespace tessera::test {
namespace {

/// Makes the matrices of one call, all with `slack` columns beside them, and keeps those that the kernel writes.
class Call {
 public:
  Call(Rig& rig_, DType dtype_, int64_t T_, int64_t C_, int64_t slack)
      : rig(rig_), dtype(dtype_), T(T_), C(C_), slack_(slack) {}

  View input(int64_t rows, int64_t cols) { return input(dtype, rows, cols); }
  View input(DType type, int64_t rows, int64_t cols) { return keep(inputs_, type, rows, cols); }
  View output(int64_t rows, int64_t cols) { return output(dtype, rows, cols); }
  View output(DType type, int64_t rows, int64_t cols) {
    const View view = keep(outputs_, type, rows, cols);
    const Values values = outputs_.back()->values();
    before_.insert(before_.end(), values.begin(), values.end());
    return view;
  }
  int32_t* ids(int64_t count, int32_t step, int32_t below) {
    std::vector<int32_t> values;
    for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<int32_t>(i) * step % below);
    ids_.push_back(std::make_unique<Array<int32_t>>(rig, values));
    return ids_.back()->data();
  }
  float* statistics(int64_t count) {
    statistics_.push_back(std::make_unique<Array<float>>(rig, std::vector<float>(static_cast<size_t>(count), 0.5f)));
    return statistics_.back()->data();
  }

  /// The values of all outputs, one after the other; waits.
  Values results() const {
    Values all;
    for (const auto& matrix : outputs_) {
      REQUIRE(matrix->intact());
      const Values values = matrix->values();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }
  /// What they were.
  const Values& before() const { return before_; }
  Kernels& kernels() const { return *rig.kernels; }
  Stream& stream() const { return *rig.stream; }

  Rig& rig;
  const DType dtype;
  const int64_t T, C;

 private:
  using Matrices = std::vector<std::unique_ptr<Matrix>>;
  View keep(Matrices& matrices, DType type, int64_t rows, int64_t cols) {
    matrices.push_back(std::make_unique<Matrix>(Matrix::random(rig, type, rows, cols, ++seed_, slack_)));
    return matrices.back()->view();
  }

  int64_t slack_;
  uint64_t seed_ = 0;
  Matrices inputs_, outputs_;
  Values before_;
  std::vector<std::unique_ptr<Array<int32_t>>> ids_;
  std::vector<std::unique_ptr<Array<float>>> statistics_;
};

constexpr int32_t V = 7;  // rows of the tables

void rmsnorm_backward(Call& c, Write mode) {
  const View x = c.input(c.T, c.C), w = c.input(1, c.C), dy = c.input(c.T, c.C), dx = c.output(c.T, c.C);
  c.kernels().norm.rmsnorm_backward(c.stream(), x, w, {1e-5f}, c.statistics(c.T), dy, dx, mode,
                                    c.output(DType::f32, 1, c.C));
}

void rotate(Call& c, void (RotaryKernels::*rope)(Stream&, const float*, const float*, const RotaryHeads&, View),
            int64_t turned) {
  const float *cos = c.statistics(c.T * turned / 2), *sin = c.statistics(c.T * turned / 2);
  (c.kernels().rotary.*rope)(c.stream(), cos, sin, {c.C, turned}, c.output(c.T, 3 * c.C));
}

void cross_entropy(Call& c, const LogitTransform& transform) {
  const View logits = c.input(DType::f32, c.T, c.C), dlogits = c.output(c.T, c.C);
  const Array<double> loss(c.rig, 1);
  c.kernels().loss.cross_entropy(c.stream(), logits, c.ids(c.T, 5, 16), transform, 0.5f, dlogits, loss.data());
  c.stream().synchronize();
}

/// Every kernel that goes through rows; those of heads take C as the width of each of three.
const std::vector<std::pair<std::string, std::function<void(Call&)>>> row_kernels = {
    {"bias_backward",
     [](Call& c) { c.kernels().linear.bias_backward(c.stream(), c.input(c.T, c.C), c.output(DType::f32, 1, c.C)); }},
    {"embedding_forward",
     [](Call& c) { c.kernels().embedding.forward(c.stream(), c.ids(c.T, 3, V), c.input(V, c.C), c.output(c.T, c.C)); }},
    {"embedding_forward times a factor",
     [](Call& c) {
       c.kernels().embedding.forward(c.stream(), c.ids(c.T, 3, V), c.input(V, c.C), c.output(c.T, c.C), 12.5f);
     }},
    {"embedding_backward",
     [](Call& c) {
       c.kernels().embedding.backward(c.stream(), c.ids(c.T, 3, V), c.input(c.T, c.C), c.output(DType::f32, V, c.C));
     }},
    {"scatter_rows",
     [](Call& c) {
       c.kernels().embedding.scatter_rows(c.stream(), c.ids(V, 4, 1000), c.input(V, c.C), c.output(c.T, c.C));
     }},
    {"rmsnorm_forward",
     [](Call& c) {
       const View x = c.input(c.T, c.C), w = c.input(1, c.C);
       c.kernels().norm.rmsnorm_forward(c.stream(), x, w, {1e-5f}, {}, c.output(c.T, c.C), c.statistics(c.T));
     }},
    {"rmsnorm_forward that adds",
     [](Call& c) {
       const View x = c.input(c.T, c.C), w = c.input(1, c.C), added = c.input(c.T, c.C);
       c.kernels().norm.rmsnorm_forward(c.stream(), x, w, {1e-5f, 1}, added, c.output(c.T, c.C), c.statistics(c.T));
     }},
    {"rmsnorm_backward", [](Call& c) { rmsnorm_backward(c, Write::overwrite); }},
    {"rmsnorm_backward that adds", [](Call& c) { rmsnorm_backward(c, Write::accumulate); }},
    {"rmsnorm of each head: forward",
     [](Call& c) {
       const View x = c.input(c.T, 3 * c.C), w = c.input(1, c.C);
       c.kernels().norm.rmsnorm_forward(c.stream(), x, w, {1e-5f}, {}, c.output(c.T, 3 * c.C), c.statistics(3 * c.T));
     }},
    {"rmsnorm of each head: backward",
     [](Call& c) {
       const View x = c.input(c.T, 3 * c.C), w = c.input(1, c.C), dy = c.input(c.T, 3 * c.C);
       c.kernels().norm.rmsnorm_backward(c.stream(), x, w, {1e-5f}, c.statistics(3 * c.T), dy, c.output(c.T, 3 * c.C),
                                         Write::overwrite, c.output(DType::f32, 1, c.C));
     }},
    {"rope_forward", [](Call& c) { rotate(c, &RotaryKernels::rope_forward, c.C); }},
    {"rope_backward", [](Call& c) { rotate(c, &RotaryKernels::rope_backward, c.C); }},
    {"rope_forward of half the columns", [](Call& c) { rotate(c, &RotaryKernels::rope_forward, c.C / 2); }},
    {"gated_forward",
     [](Call& c) {
       c.kernels().activation.gated_forward(c.stream(), Activation::silu, c.input(c.T, 2 * c.C), c.output(c.T, c.C));
     }},
    {"gated_backward",
     [](Call& c) {
       c.kernels().activation.gated_backward(c.stream(), Activation::silu, c.input(c.T, 2 * c.C), c.input(c.T, c.C),
                                             c.output(c.T, 2 * c.C), c.output(c.T, c.C));
     }},
    {"gated_forward of gelu_tanh",
     [](Call& c) {
       c.kernels().activation.gated_forward(c.stream(), Activation::gelu_tanh, c.input(c.T, 2 * c.C),
                                            c.output(c.T, c.C));
     }},
    {"gated_backward of gelu_tanh",
     [](Call& c) {
       c.kernels().activation.gated_backward(c.stream(), Activation::gelu_tanh, c.input(c.T, 2 * c.C),
                                             c.input(c.T, c.C), c.output(c.T, 2 * c.C), c.output(c.T, c.C));
     }},
    {"scale", [](Call& c) { c.kernels().residual.scale(c.stream(), c.input(c.T, c.C), 0.5f, {}, c.output(c.T, c.C)); }},
    {"scale that adds",
     [](Call& c) {
       const View x = c.input(c.T, c.C), added = c.input(c.T, c.C);
       c.kernels().residual.scale(c.stream(), x, 0.3f, added, c.output(c.T, c.C));
     }},
    {"cross_entropy", [](Call& c) { cross_entropy(c, {}); }},
    {"cross_entropy of capped logits",
     [](Call& c) {
       cross_entropy(c, {0.5f, 2});
     }},
    {"transform_logits",
     [](Call& c) {
       c.kernels().loss.transform_logits(c.stream(), {0.5f, 2}, c.output(DType::f32, c.T, c.C));
     }},
    {"cast to fp32",
     [](Call& c) { c.kernels().memory.cast(c.stream(), c.input(c.T, c.C), c.output(DType::f32, c.T, c.C)); }},
    {"cast from fp32",
     [](Call& c) { c.kernels().memory.cast(c.stream(), c.input(DType::f32, c.T, c.C), c.output(c.T, c.C)); }},
};

Values results_of(Rig& rig, const std::function<void(Call&)>& kernel, DType dtype, int64_t T, int64_t C,
                  int64_t slack) {
  Call call(rig, dtype, T, C, slack);
  kernel(call);
  return call.results();
}

/// Both ways round, so they may be twice as far apart as one may be from what is right.
TEMPLATE_TEST_CASE("what a kernel gives does not depend on where its rows lie", "[kernels]", float, bf16) {
  const DType dtype = dtype_of<TestType>();
  on_every_device([&](Rig& rig) {
    for (const auto& [name, kernel] : row_kernels) {
      for (const auto& [T, C] : {std::pair{33, 16}, {3, 48}, {31, 64}, {3, 128}, {5, 2056}, {3, 20480}}) {
        INFO(name << ", T " << T << ", C " << C);
        REQUIRE_THAT(results_of(rig, kernel, dtype, T, C, 8),
                     near(results_of(rig, kernel, dtype, T, C, 3), 2 * tolerance(dtype)));
      }
    }
  });
}

TEMPLATE_TEST_CASE("a kernel over no tokens does nothing", "[kernels]", float, bf16) {
  const DType dtype = dtype_of<TestType>();
  on_every_device([&](Rig& rig) {
    for (const auto& [name, kernel] : row_kernels) {
      INFO(name);
      Call call(rig, dtype, 0, 64, 3);
      kernel(call);
      REQUIRE(call.results() == call.before());
    }
  });
}

}  // namespace
}  // namespace tessera::test
