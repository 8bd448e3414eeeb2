#include <utility>

#include "device/cuda/cuda_device.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/own_attention.h"

namespace tessera {
namespace {

/// By the library, or by own kernels where there is none or it declines.
class CudaAttentionKernels final : public AttentionKernels {
 public:
  CudaAttentionKernels(std::shared_ptr<Workspace> workspace, std::unique_ptr<FusedAttention> fused)
      : workspace_(std::move(workspace)), fused_(std::move(fused)) {}

  int64_t workspace_bytes(const LargestShapes& s) override {
    return std::max(fused_ ? fused_->announce(s) : 0, cuda::attention_backward_scratch_bytes(s.T, s.H));
  }

 private:
  void enqueue_attention_forward(Stream& stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                                 View out, float* log_sum_exp) override {
    if (fused_ && fused_->forward(stream, shape, q, k, v, out, log_sum_exp)) return;
    cuda::attention_forward(cuda_stream(stream), shape, q, k, v, out, log_sum_exp);
  }
  void enqueue_attention_backward(Stream& stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                                  ConstView out, const float* log_sum_exp, ConstView dout, View dq, View dk,
                                  View dv) override {
    if (fused_ && fused_->backward(stream, shape, q, k, v, out, log_sum_exp, dout, dq, dk, dv)) return;
    cuda::attention_backward(cuda_stream(stream), shape, q, k, v, out, log_sum_exp, dout, dq, dk, dv,
                             workspace_->room(stream, cuda::attention_backward_scratch_bytes(q.rows, shape.H)));
  }
  void enqueue_attention_decode(Stream& stream, const AttentionShape& shape, ConstView q, const View* k_cache,
                                const View* v_cache, const int64_t* length, View out) override {
    cuda::attention_decode(cuda_stream(stream), shape, q, k_cache, v_cache, length, out);
  }

  const std::shared_ptr<Workspace> workspace_;
  const std::unique_ptr<FusedAttention> fused_;
};

}  // namespace

std::unique_ptr<AttentionKernels> cuda::make_attention(std::shared_ptr<Workspace> workspace,
                                                       std::unique_ptr<FusedAttention> fused) {
  return std::make_unique<CudaAttentionKernels>(std::move(workspace), std::move(fused));
}

}  // namespace tessera
