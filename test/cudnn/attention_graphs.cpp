#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <vector>

#include "kernels/cuda/attention_cudnn.h"

// The graphs that Tessera asks cuDNN for, compiled by cuDNN itself for GPUs that are not here.
namespace tessera::test {
namespace {

using Catch::Contains;
using D = AttentionDescription;

constexpr int64_t plenty = int64_t{2} << 30;  // bytes of scores

DescribedGpu gpu(const std::string& name, int compute_capability, int multiprocessors, int shared_bytes) {
  return {
      compute_capability,
      fmt::format(R"({{"deviceName":"{}","deviceVer":{}0,"multiProcessorCount":{},"maxSharedMemoryPerBlockOptin":{},)"
                  R"("driverVer":13000,"cudaDeviceId":0,"totalGlobalMem":85000000000,"l2CacheSize":52428800,)"
                  R"("maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],"warpSize":32,)"
                  R"("regsPerBlock":65536,"maxRegistersPerSM":65536,"maxThreadsPerBlock":1024,"maxThreadsPerSM":2048,)"
                  R"("maxSharedMemoryPerBlock":49152,"reservedSharedMemoryPerBlock":1024,"maxCtasPerSM":32,)"
                  R"("pciDeviceId":0,"isTccDriver":0,"supportCoopLaunch":1,)"
                  R"("smClockRateKHz":1980000,"memClockRateKHz":2619000}})",
                  name, compute_capability, multiprocessors, shared_bytes)};
}

const DescribedGpu a100 = gpu("A100", 80, 108, 166912), l40 = gpu("L40", 89, 142, 101376),
                   h100 = gpu("H100", 90, 132, 232448), b200 = gpu("B200", 100, 148, 232448);

/// Attention of a model whose largest batch has T tokens.  Addresses stand for what a GPU would be given.
struct Model {
  std::string name;
  int64_t H, G, width, T = 4096, window = 0;

  AttentionShape shape() const {
    AttentionShape made{};
    made.H = H, made.G = G, made.D = width, made.window = window, made.scale = 0.1f;
    return made;
  }
  AttentionLimits limits() const { return {T, plenty}; }
  AttentionGroup largest(int64_t longest) const { return largest_attention_group(shape(), longest, limits()); }

  ConstView qkv() const { return {nullptr, DType::bf16, T, (H + 2 * G) * width}; }
  ConstView q() const { return qkv().cols_from(0, H * width); }
  ConstView k() const { return qkv().cols_from(H * width, G * width); }
  ConstView v() const { return qkv().cols_from((H + G) * width, G * width); }
  ConstView out() const { return {nullptr, DType::bf16, T, H * width}; }

  D forward(const AttentionBucket& bucket) const {
    return describe_attention_forward(shape(), bucket, q(), k(), v(), out());
  }
  D backward(const AttentionGroup& group, bool deterministic = true) const {
    return describe_attention_backward(shape(), group.bucket, deterministic, group.parts, q(), k(), v(), out(), out(),
                                       q(), k(), v());
  }
  D padded_backward(const AttentionGroup& group) const {
    return describe_attention_backward_padded(shape(), group.bucket, true, group.parts);
  }
};

const Model smol{"SmolLM2-135M", 9, 3, 64}, llama_1b{"Llama-3.2-1B", 32, 8, 64}, llama_8b{"Llama-3.1-8B", 32, 8, 128},
    qwen_3b{"Qwen2.5-3B", 16, 2, 128}, mistral{"Mistral-7B", 32, 8, 128, 8192, 4096}, wide{"heads of 256", 8, 4, 256},
    uneven{"heads of 96, not shared", 8, 8, 96};
const std::vector<Model> models = {smol, llama_1b, llama_8b, qwen_3b, mistral, wide, uneven};

/// What the call takes of the workspace.
AttentionRoom require_taken(const D& description, const DescribedGpu& by) {
  INFO(in_words(description));
  const auto graph = build_cudnn_graph(description, by);
  REQUIRE(graph->refusal() == "");
  return attention_room(description, graph->workspace_bytes());
}

TEST_CASE("an H100 computes every attention that a job asks cuDNN for", "[cudnn]") {
  for (const Model& model : models) {
    INFO(model.name);
    for (const int64_t longest : {128, 4096}) {
      require_taken(model.forward(model.largest(longest).bucket), h100);
      require_taken(model.backward(model.largest(longest)), h100);
    }
    require_taken(model.backward(model.largest(4096), false), h100);
  }
}

TEST_CASE("documents whose scores take too much are computed in parts of the heads", "[cudnn]") {
  const Model long_documents{"Llama-3.1-8B", 32, 8, 128, 16384};
  const std::vector<int32_t> one = {0, 16384};
  AttentionShape shape = long_documents.shape();
  shape.cu_seqlens = one.data(), shape.N = 1;
  const AttentionGroup group = attention_groups(shape, 16384, long_documents.limits()).front();
  REQUIRE(group.parts == 8);
  const int64_t taken = require_taken(long_documents.backward(group), h100).end,
                announced = require_taken(long_documents.backward(long_documents.largest(16384)), h100).end;
  CHECK(taken <= announced);
}

TEST_CASE("a B200 does too, but for the backward pass of the widest heads", "[cudnn]") {
  for (const Model& model : models) {
    INFO(model.name);
    const AttentionGroup group = model.largest(1024);
    require_taken(model.forward(group.bucket), b200);
    if (model.width <= 128) require_taken(model.backward(group), b200);
  }
  CHECK_THAT(build_cudnn_graph(wide.backward(wide.largest(1024)), b200)->refusal(), Contains("128"));
}

TEST_CASE("an A100 and an L40 compute the forward pass, and the backward pass of padded documents", "[cudnn]") {
  for (const DescribedGpu& older : {a100, l40})
    for (const Model& model : {smol, llama_8b, mistral}) {
      const AttentionGroup group = model.largest(1024);
      require_taken(model.forward(group.bucket), older);
      CHECK_THAT(build_cudnn_graph(model.backward(group), older)->refusal(), Contains("SM8X"));
      require_taken(model.padded_backward(group), older);
    }
  require_taken(wide.forward(wide.largest(1024).bucket), a100);
  CHECK_THAT(build_cudnn_graph(wide.padded_backward(wide.largest(1024)), a100)->refusal(), Contains("128"));
}

TEST_CASE("the deterministic backward pass keeps the scores' gradient, and what docs/sharding.md says beside it",
          "[cudnn]") {
  for (const Model& model : {smol, llama_1b, llama_8b, qwen_3b, uneven})
    for (const int64_t longest : {1024, 4096}) {
      INFO(model.name << ", documents of " << longest);
      const AttentionGroup group = model.largest(longest);
      const AttentionRoom room = require_taken(model.backward(group), h100);
      const int64_t scores = attention_score_bytes(group.bucket, model.H),
                    shared_keys = model.H > model.G ? 8 * model.T * model.H * model.width : 0,
                    taken = room.end - room.library;
      CHECK(taken >= scores + shared_keys);
      CHECK(taken <= scores + shared_keys + 8 * model.T * model.H);
    }
}

TEST_CASE("no batch's documents take more of the workspace than the largest group, which is announced", "[cudnn]") {
  const int64_t announced = require_taken(llama_1b.backward(llama_1b.largest(4096)), h100).end;
  for (int32_t length = 4096; length >= 64; length /= 2)
    for (int64_t count = 1; count * length <= llama_1b.T; count *= 4) {
      std::vector<int32_t> cu_seqlens;
      for (int32_t n = 0; n <= count; ++n) cu_seqlens.push_back(n * length);
      AttentionShape shape = llama_1b.shape();
      shape.cu_seqlens = cu_seqlens.data(), shape.N = count;
      for (const AttentionGroup& group : attention_groups(shape, cu_seqlens.back(), llama_1b.limits())) {
        INFO(count << " documents of " << length);
        CHECK(require_taken(llama_1b.backward(group), h100).end <= announced);
      }
    }
}

TEST_CASE("a window takes no more of the workspace than full attention, which is announced", "[cudnn]") {
  Model full = mistral;
  full.window = 0;
  CHECK(require_taken(mistral.backward(mistral.largest(4096)), h100).end <=
        require_taken(full.backward(full.largest(4096)), h100).end);
  CHECK(require_taken(mistral.forward(mistral.largest(4096).bucket), h100).end <=
        require_taken(full.forward(full.largest(4096).bucket), h100).end);
}

TEST_CASE("gradients of shared keys that are slices would cost cuDNN a workspace of mostly gaps", "[cudnn]") {
  const AttentionGroup group = qwen_3b.largest(1024);
  D apart = qwen_3b.backward(group), slices = apart;
  REQUIRE(apart.key_gradients_apart);
  slices.key_gradients_apart = false;
  slices.tensors[D::dk] = slices.tensors[D::k], slices.tensors[D::dv] = slices.tensors[D::v];
  CHECK(require_taken(slices, h100).end > require_taken(apart, h100).end);
}

}  // namespace
}  // namespace tessera::test
