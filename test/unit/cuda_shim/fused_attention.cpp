#include <algorithm>
#include <catch2/catch.hpp>

#include "kitchen.h"

// What lies between a job's attention and cuDNN: groups of documents, offsets, copies, parts of the heads, the
// workspace. In the place of cuDNN are plain loops (cuda_shim/attention_graphs.h); what comes out is what own kernels
// compute.
namespace tessera::test {
namespace {

const std::vector<Case> cases = {{4, 2, 64, 0, {100, 100, 100, 90, 90, 80, 60}},
                                 {2, 1, 64, 50, {260, 130, 100, 40}},
                                 {8, 4, 64, 0, {150, 140, 20, 1, 0}},
                                 {8, 8, 72, 0, {129, 128, 7}},
                                 {8, 4, 128, 3, {40}}};

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

TEST_CASE("a document whose scores take too much gets its heads in parts", "[kernels][attention][long]") {
  const Case c{8, 4, 64, 0, {250, 100, 40}};
  for (const PlainGraphs::Refusal& refuses : {PlainGraphs::Refusal(), PlainGraphs::Refusal(without_packed_backward)}) {
    Kitchen at(refuses, {.most_score_bytes = attention_score_bytes({1, 256, 256}, 4), .trusts_library = true});
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

TEST_CASE("scores with a soft cap are not asked of the library", "[kernels][attention]") {
  const Case& c = cases.front();
  std::vector<AttentionDescription> asked;
  const Kitchen at;
  const auto kernels =
      at.kernels_with(std::make_unique<FusedAttention>(at.workspace, std::make_unique<PlainGraphs>(nullptr, &asked)));
  const int64_t with_cap = kernels->workspace_bytes({.T = c.tokens(),
                                                     .C = c.H * c.D,
                                                     .H = c.H,
                                                     .G = c.G,
                                                     .D = c.D,
                                                     .F = 8,
                                                     .longest = c.documents.front(),
                                                     .shard = 1,
                                                     .dtype = DType::bf16,
                                                     .softcap = 50});
  REQUIRE(with_cap > 0);
  Rig rig = at.rig;
  Batch batch(rig, DType::bf16, c), expected(rig, DType::bf16, c);
  batch.shape.softcap = expected.shape.softcap = 50;
  batch.run(*kernels, *rig.stream);
  expected.run(*rig.kernels, *rig.stream);
  REQUIRE(batch.out.bits() == expected.out.bits());
  REQUIRE(batch.dqkv.bits() == expected.dqkv.bits());
  REQUIRE(asked.empty());
}

}  // namespace
}  // namespace tessera::test
