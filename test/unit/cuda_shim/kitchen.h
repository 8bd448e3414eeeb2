#pragma once
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "cuda_shim/attention_graphs.h"
#include "device/cuda/cuda_device.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/fused_attention.h"
#include "support/kernel_test.h"

/// Attention by a library, plain loops in its place, beside own kernels.
namespace tessera::test {

struct Case {
  int64_t H, G, D, window;
  std::vector<int64_t> documents;  // their lengths, longest first, as a batch has them

  int64_t tokens() const { return std::accumulate(documents.begin(), documents.end(), int64_t{0}); }
};

/// A device with own kernels, and a library for attention with a workspace of its own.
struct Kitchen {
  explicit Kitchen(PlainGraphs::Refusal refuses = nullptr, FusedAttentionSettings settings = {.trusts_library = true},
                   Fault fault = Fault::none)
      : device(std::make_shared<CudaDevice>(0)),
        workspace(std::make_shared<Workspace>(*device)),
        fused(workspace, std::make_unique<PlainGraphs>(std::move(refuses), &asked_for, fault), std::move(settings)) {
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
    by.attention.forward(stream, shape, q(qkv), k(qkv), v(qkv), out, log_sum_exp.data());
    by.attention.backward(stream, shape, q(qkv), k(qkv), v(qkv), out, log_sum_exp.data(), dout, q(dqkv), k(dqkv),
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
  AttentionShape shape{};
};

/// As cuDNN on a GPU before Hopper.
inline std::string without_packed_backward(const AttentionDescription& d) {
  return d.backward && !d.padded ? "not for packed documents" : "";
}

inline bool asked_for(const Kitchen& at, bool (*what)(const AttentionDescription&)) {
  return std::any_of(at.asked_for.begin(), at.asked_for.end(), what);
}

}  // namespace tessera::test
