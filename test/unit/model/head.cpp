#include "model/head.h"

#include <numeric>

#include "support/cpu_rig.h"

namespace tessera::test {
namespace {

/// So large that a chunk is the 64 tokens that every device takes at once.
constexpr int64_t V = 800'000, C = 6, T = 70;
constexpr int64_t first_chunk = 64;

ModelSpec config_of_head() {
  ModelSpec config;
  config.V = V;
  config.C = C;
  return config;
}

/// A batch whose tokens carry loss all, and what the head makes of it.
struct Run {
  Run(Rig& rig, DType dtype)
      : rig_(rig),
        config_(config_of_head()),
        head_(*rig.device, *rig.kernels, config_, dtype, T),
        hidden_(Matrix::random(rig, dtype, T, C, 1)),
        norm_(Matrix::random(rig, dtype, 1, C, 2)),
        matrix_(Matrix::random(rig, dtype, V, C, 3)),
        loss_(rig, 1),
        d(Matrix::zeros(rig, dtype, T, C)),
        d_norm(Matrix::zeros(rig, DType::f32, 1, C)),
        d_matrix(Matrix::zeros(rig, DType::f32, V, C)) {}

  /// The tokens [first, last) as one call.
  void tokens(int64_t first, int64_t last, Write matrix) {
    std::vector<int32_t> rows(static_cast<size_t>(last - first)), targets;
    std::iota(rows.begin(), rows.end(), static_cast<int32_t>(first));
    for (const int32_t row : rows) targets.push_back(row * 11'003 % static_cast<int32_t>(V));
    const Array<int32_t> rows_there(rig_, rows), targets_there(rig_, targets);
    head_.forward_backward(*rig_.stream, hidden_, {norm_, matrix_},
                           {last - first, rows_there.data(), targets_there.data()}, 0.5f, loss_.data(), d,
                           {d_norm, d_matrix}, matrix);
    rig_.stream->synchronize();
  }
  double loss() const { return loss_.values()[0]; }
  int64_t chunk() const { return head_.chunk(); }

 private:
  Rig& rig_;
  const ModelSpec config_;
  LossHead head_;
  Matrix hidden_, norm_, matrix_;
  Array<double> loss_;

 public:
  Matrix d, d_norm, d_matrix;
};

TEST_CASE("The logits of a chunk take 192 MiB at most on a CPU and 512 MiB on a GPU, but for 64 tokens always",
          "[model]") {
  CHECK(loss_chunk(DeviceKind::cpu, 49152, 8192) == 1024);
  CHECK(loss_chunk(DeviceKind::cuda, 49152, 8192) == 2688);
  CHECK(loss_chunk(DeviceKind::cpu, 128256, 8192) == 384);
  CHECK(loss_chunk(DeviceKind::cpu, 49152, 200) == 256);
  CHECK(loss_chunk(DeviceKind::cpu, V, T) == first_chunk);
}

TEMPLATE_TEST_CASE("A batch in several chunks gives the loss and the gradients of its parts", "[model]", float, bf16) {
  Rig rig = cpu_rig(1);
  const DType dtype = dtype_of<TestType>();
  Run whole(rig, dtype), parts(rig, dtype);
  REQUIRE(whole.chunk() == first_chunk);
  whole.tokens(0, T, Write::overwrite);

  parts.tokens(0, first_chunk, Write::overwrite);
  Values d = parts.d.values();
  d.resize(first_chunk * C);
  parts.tokens(first_chunk, T, Write::accumulate);
  const Values rest = parts.d.values();
  d.insert(d.end(), rest.begin() + first_chunk * C, rest.end());

  CHECK(whole.loss() == parts.loss());
  CHECK(whole.d.values() == d);
  CHECK((whole.d_matrix.bits() == parts.d_matrix.bits()));  // in brackets: Catch need not print millions of numbers
  CHECK_THAT(whole.d_norm.values(), near(parts.d_norm.values(), tolerance<float>()));
}

}  // namespace
}  // namespace tessera::test
