#pragma once
#include <memory>

#include "kernels/cuda/fused_attention.h"
#include "kernels/cuda/gemm_cublaslt.h"
#include "kernels/cuda/workspace.h"
#include "kernels/kernels.h"

/// The kernels of a GPU: own ones (launchers.h), matrix products and attention by libraries behind an interface each,
/// so that the rest also runs where there is no GPU (test/cuda_shim).
namespace tessera {

class CudaKernels final : public Kernels {
 public:
  /// `workspace`: the libraries' too.  Without `attention`, or where it declines, own kernels do its work.
  CudaKernels(std::shared_ptr<Workspace> workspace, std::unique_ptr<CublasLtGemm> products,
              std::unique_ptr<FusedAttention> attention = nullptr);

  int64_t workspace_bytes(const LargestShapes& largest) override;
  void reserve(const LargestShapes& largest) override;

  void linear_forward(Stream&, ConstView x, ConstView w, ConstView bias, ConstView added, View y) override;
  void linear_backward_input(Stream&, ConstView dy, ConstView w, View dx, Write mode) override;
  void linear_backward_weight(Stream&, ConstView dy, ConstView x, View dw, Write mode) override;
  void bias_backward(Stream&, ConstView dy, View db) override;
  void embedding_forward(Stream&, const int32_t* tokens, ConstView table, View y) override;
  void embedding_backward(Stream&, const int32_t* tokens, ConstView dy, View dtable) override;
  void scatter_rows(Stream&, const int32_t* rows, ConstView x, View y) override;
  void rmsnorm_forward(Stream&, ConstView x, ConstView w, float eps, View y, float* inv_rms) override;
  void rmsnorm_backward(Stream&, ConstView x, ConstView w, const float* inv_rms, ConstView dy, View dx, Write mode,
                        View dw) override;
  void head_rmsnorm_forward(Stream&, ConstView x, ConstView w, float eps, View y, float* inv_rms) override;
  void head_rmsnorm_backward(Stream&, ConstView x, ConstView w, const float* inv_rms, ConstView dy, View dx,
                             View dw) override;
  void rope_table(Stream&, const int32_t* positions, int64_t T, const float* inv_freq, int64_t half, float scale,
                  float* cos, float* sin) override;
  void rope_forward(Stream&, const float* cos, const float* sin, int64_t D, View x) override;
  void rope_backward(Stream&, const float* cos, const float* sin, int64_t D, View dx) override;
  void attention_forward(Stream&, const AttentionShape& shape, ConstView q, ConstView k, ConstView v, View out,
                         float* log_sum_exp) override;
  void attention_backward(Stream&, const AttentionShape& shape, ConstView q, ConstView k, ConstView v, ConstView out,
                          const float* log_sum_exp, ConstView dout, View dq, View dk, View dv) override;
  void attention_decode(Stream&, const AttentionShape& shape, ConstView q, const View* k_cache, const View* v_cache,
                        const int64_t* length, View out) override;
  void swiglu_forward(Stream&, ConstView gate_up, View y) override;
  void swiglu_backward(Stream&, ConstView gate_up, ConstView dy, View dgate_up, View y) override;
  void cross_entropy(Stream&, ConstView logits, const int32_t* targets, float gradient_scale, View dlogits,
                     double* loss_sum) override;
  void squared_norm(Stream&, const float* x, int64_t n, double* sum) override;
  void adamw(Stream&, const AdamWStep& step, int64_t n, float* master, float* exp_avg, float* exp_avg_sq,
             const float* gradient, View weights) override;
  void cast(Stream&, ConstView from, View to) override;
  void fill_zero(Stream&, void* to, int64_t bytes) override;
  void copy(Stream&, const void* from, void* to, int64_t bytes) override;

 private:
  void* scratch(Stream& stream, int64_t bytes) { return workspace_->room(stream, bytes); }

  std::shared_ptr<Workspace> workspace_;
  std::unique_ptr<CublasLtGemm> products_;
  std::unique_ptr<FusedAttention> attention_;
};

}  // namespace tessera
