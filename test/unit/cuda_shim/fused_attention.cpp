#include "kernels/cuda/fused_attention.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

#include "cuda_shim/attention_graphs.h"
#include "device/cuda/cuda_device.h"
#include "kernels/cuda/cuda_kernels.h"
#include "support/kernel_test.h"

// What lies between a job's attention and cuDNN: groups of documents, offsets, copies, parts of the heads, the
// workspace. In the place of cuDNN are plain loops (cuda_shim/attention_graphs.h); what comes out is what own kernels
// compute.
namespace tessera::test {
namespace {

struct Case {
  int64_t H, G, D, window;
  std::vector<int64_t> documents;  // their lengths, longest first, as a batch has them

  int64_t tokens() const { return std::accumulate(documents.begin(), documents.end(), int64_t{0}); }
};

const std::vector<Case> cases = {{4, 2, 64, 0, {100, 100, 100, 90, 90, 80, 60}},
                                 {2, 1, 64, 50, {260, 130, 100, 40}},
                                 {8, 4, 64, 0, {150, 140, 20, 1, 0}},
                                 {8, 8, 72, 0, {129, 128, 7}},
                                 {8, 4, 128, 3, {40}}};

/// A device with own kernels, and a library for attention with a workspace of its own.
struct Kitchen {
  explicit Kitchen(PlainGraphs::Refusal refuses = nullptr, int64_t most_score_bytes = int64_t{1} << 30)
      : device(std::make_shared<CudaDevice>(0)),
        workspace(std::make_shared<Workspace>(*device)),
        fused(workspace, std::make_unique<PlainGraphs>(std::move(refuses), &asked_for),
              FusedAttentionSettings{.most_score_bytes = most_score_bytes}) {
    rig.device = device;
    rig.stream = device->make_stream("test");
    rig.kernels = kernels_with(nullptr);
  }
  std::unique_ptr<CudaKernels> kernels_with(std::unique_ptr<FusedAttention> attention) const {
    const auto shared = std::make_shared<Workspace>(*device);
    return std::make_unique<CudaKernels>(shared, std::make_unique<CublasLtGemm>(*device, shared), std::move(attention));
  }

  std::shared_ptr<CudaDevice> device;
  std::shared_ptr<Workspace> workspace;
  std::vector<AttentionDescription> asked_for;
  FusedAttention fused;
  Rig rig;
};

/// The same values for a library, in bf16, and for own kernels, in fp32.
struct Batch {
  Batch(Rig& rig, DType dtype, const Case& c)
      : width((c.H + 2 * c.G) * c.D),
        qkv(Matrix(rig, dtype, c.tokens(), width, bf16_values(c.tokens() * width, 1), 8)),
        dout(Matrix(rig, dtype, c.tokens(), c.H * c.D, bf16_values(c.tokens() * c.H * c.D, 2), 16)),
        out(rig, dtype, c.tokens(), c.H * c.D, 24),
        dqkv(rig, dtype, c.tokens(), width, 8),
        log_sum_exp(rig, c.tokens() * c.H),
        cu_seqlens(1, 0) {
    for (const int64_t length : c.documents) cu_seqlens.push_back(cu_seqlens.back() + static_cast<int32_t>(length));
    on_device = std::make_unique<Array<int32_t>>(rig, cu_seqlens);
    shape = {.H = c.H,
             .G = c.G,
             .D = c.D,
             .window = c.window,
             .scale = 0.1f,
             .cu_seqlens = cu_seqlens.data(),
             .N = static_cast<int64_t>(c.documents.size()),
             .cu_seqlens_on_device = on_device->data()};
  }
  static Values bf16_values(int64_t n, uint64_t seed) {
    Values values = random_values(n, seed);
    for (double& value : values) value = static_cast<double>(static_cast<float>(bf16(static_cast<float>(value))));
    return values;
  }
  View q(const Matrix& m) const { return m.view().cols_from(0, shape.H * shape.D); }
  View k(const Matrix& m) const { return m.view().cols_from(shape.H * shape.D, shape.G * shape.D); }
  View v(const Matrix& m) const { return m.view().cols_from((shape.H + shape.G) * shape.D, shape.G * shape.D); }

  void run(Kernels& by, Stream& stream) {
    by.attention_forward(stream, shape, q(qkv), k(qkv), v(qkv), out, log_sum_exp.data());
    by.attention_backward(stream, shape, q(qkv), k(qkv), v(qkv), out, log_sum_exp.data(), dout, q(dqkv), k(dqkv),
                          v(dqkv));
  }
  /// Whether it did both.
  bool run(FusedAttention& by, Stream& stream) {
    return by.forward(stream, shape, q(qkv), k(qkv), v(qkv), out, log_sum_exp.data()) &&
           by.backward(stream, shape, q(qkv), k(qkv), v(qkv), out, log_sum_exp.data(), dout, q(dqkv), k(dqkv), v(dqkv));
  }

  int64_t width;
  Matrix qkv, dout, out, dqkv;
  Array<float> log_sum_exp;
  std::vector<int32_t> cu_seqlens;
  std::unique_ptr<Array<int32_t>> on_device;
  Kernels::AttentionShape shape{};
};

void require_as_own_kernels(Kitchen& at, const Case& c) {
  INFO("H " << c.H << ", G " << c.G << ", D " << c.D << ", window " << c.window << ", T " << c.tokens());
  Batch batch(at.rig, DType::bf16, c), expected(at.rig, DType::f32, c);
  const int64_t announced =
      at.fused.announce({c.tokens(), c.H * c.D, c.H, c.G, c.D, 8, c.documents.front(), 1, DType::bf16});
  at.workspace->reserve(announced);
  REQUIRE(batch.run(at.fused, *at.rig.stream));
  expected.run(*at.rig.kernels, *at.rig.stream);
  REQUIRE_THAT(batch.out.values(), near(expected.out.values(), tolerance(DType::bf16)));
  // `out` is rounded before it is multiplied by dout: single elements are far off for their size (attention.cpp).
  REQUIRE_THAT(batch.dqkv.values(), near(expected.dqkv.values(), 24 * tolerance(DType::bf16)));
  REQUIRE(distance(batch.dqkv.values(), expected.dqkv.values()) < tolerance(DType::bf16));
  REQUIRE(batch.out.intact());
  REQUIRE(batch.dqkv.intact());
  REQUIRE(at.workspace->bytes() == announced);  // it was enough
}

/// As cuDNN on a GPU before Hopper.
std::string without_packed_backward(const AttentionDescription& d) {
  return d.backward && !d.padded ? "not for packed documents" : "";
}

bool asked_for(const Kitchen& at, bool (*what)(const AttentionDescription&)) {
  return std::any_of(at.asked_for.begin(), at.asked_for.end(), what);
}

TEST_CASE("a library computes attention of packed documents", "[kernels][attention]") {
  for (const Case& c : cases) {
    Kitchen at;
    require_as_own_kernels(at, c);
    REQUIRE(!asked_for(at, [](const AttentionDescription& d) { return d.padded; }));
    REQUIRE(asked_for(at, [](const AttentionDescription& d) { return d.backward; }));
  }
}

TEST_CASE("a library without a backward pass of packed documents gets copies of one length", "[kernels][attention]") {
  for (const Case& c : cases) {
    Kitchen at(without_packed_backward);
    require_as_own_kernels(at, c);
    REQUIRE(asked_for(at, [](const AttentionDescription& d) { return d.padded; }));
  }
}

TEST_CASE("a document whose scores take too much gets its heads in parts", "[kernels][attention]") {
  const Case c{8, 4, 64, 0, {250, 100, 40}};
  for (const PlainGraphs::Refusal& refuses : {PlainGraphs::Refusal(), PlainGraphs::Refusal(without_packed_backward)}) {
    Kitchen at(refuses, attention_score_bytes({1, 256, 256}, 4));
    require_as_own_kernels(at, c);
    REQUIRE(asked_for(at, [](const AttentionDescription& d) { return d.parts == 2; }));
  }
}

TEST_CASE("where the library declines own kernels compute", "[kernels][attention]") {
  const Case& c = cases.front();
  std::vector<AttentionDescription> asked;
  const Kitchen at;
  const auto kernels = at.kernels_with(std::make_unique<FusedAttention>(
      at.workspace, std::make_unique<PlainGraphs>([](const AttentionDescription&) { return "no engine"; }, &asked)));
  Rig rig = at.rig;
  Batch batch(rig, DType::bf16, c), expected(rig, DType::bf16, c);
  batch.run(*kernels, *rig.stream);
  expected.run(*rig.kernels, *rig.stream);
  REQUIRE(batch.out.bits() == expected.out.bits());
  REQUIRE(batch.dqkv.bits() == expected.dqkv.bits());
  REQUIRE(asked.size() == 3);  // the forward pass, the backward pass of packed documents and of padded ones
}

}  // namespace
}  // namespace tessera::test
