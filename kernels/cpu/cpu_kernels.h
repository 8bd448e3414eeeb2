#pragma once
#include <memory>

#include "kernels/kernels.h"

/// The CPU's kernels: matrix products by oneDNN or in tiles of our own (gemm.h), everything else in Highway, dispatched
/// at run time to what the processor has.  A kernel of the list is a member here whose body enqueues the work; the
/// vector code of a subject is in the file of its name.
namespace tessera {

class CpuAttention;
class CpuGemm;

class CpuKernels final : public Kernels {
 public:
  explicit CpuKernels(Device& device);
  /// `gemm` multiplies; for tests of one that the processor would not choose.
  CpuKernels(Device& device, std::unique_ptr<CpuGemm> gemm);
  ~CpuKernels() override;

  // gemm.cpp
  void linear_forward(Stream&, ConstView x, ConstView w, ConstView bias, ConstView added, View y) override;
  void linear_backward_input(Stream&, ConstView dy, ConstView w, View dx, Write mode) override;
  void linear_backward_weight(Stream&, ConstView dy, ConstView x, View dw, Write mode) override;

  // reduce.cpp
  void bias_backward(Stream&, ConstView dy, View db) override;
  void squared_norm(Stream&, const float* x, int64_t n, double* sum) override;

  // embedding.cpp
  void embedding_forward(Stream&, const int32_t* tokens, ConstView table, View y) override;
  void embedding_backward(Stream&, const int32_t* tokens, ConstView dy, View dtable) override;
  void scatter_rows(Stream&, const int32_t* rows, ConstView x, View y) override;

  // rmsnorm.cpp
  void rmsnorm_forward(Stream&, ConstView x, ConstView w, float eps, View y, float* inv_rms) override;
  void rmsnorm_backward(Stream&, ConstView x, ConstView w, const float* inv_rms, ConstView dy, View dx, Write mode,
                        View dw) override;
  void head_rmsnorm_forward(Stream&, ConstView x, ConstView w, float eps, View y, float* inv_rms) override;
  void head_rmsnorm_backward(Stream&, ConstView x, ConstView w, const float* inv_rms, ConstView dy, View dx,
                             View dw) override;

  // rope.cpp
  void rope_table(Stream&, const int32_t* positions, int64_t T, const float* inv_freq, int64_t half, float scale,
                  float* cos, float* sin) override;
  void rope_forward(Stream&, const float* cos, const float* sin, int64_t D, View x) override;
  void rope_backward(Stream&, const float* cos, const float* sin, int64_t D, View dx) override;

  // attention.cpp, attention_decode.cpp
  void attention_forward(Stream&, const AttentionShape& shape, ConstView q, ConstView k, ConstView v, View out,
                         float* log_sum_exp) override;
  void attention_backward(Stream&, const AttentionShape& shape, ConstView q, ConstView k, ConstView v, ConstView out,
                          const float* log_sum_exp, ConstView dout, View dq, View dk, View dv) override;
  void attention_decode(Stream&, const AttentionShape& shape, ConstView q, const View* k_cache, const View* v_cache,
                        const int64_t* length, View out) override;

  // swiglu.cpp
  void swiglu_forward(Stream&, ConstView gate_up, View y) override;
  void swiglu_backward(Stream&, ConstView gate_up, ConstView dy, View dgate_up, View y) override;

  // cross_entropy.cpp
  void cross_entropy(Stream&, ConstView logits, const int32_t* targets, float gradient_scale, View dlogits,
                     double* loss_sum) override;

  // adamw.cpp
  void adamw(Stream&, const AdamWStep& step, int64_t n, float* master, float* exp_avg, float* exp_avg_sq,
             const float* gradient, View weights) override;

  // elementwise.cpp
  void cast(Stream&, ConstView from, View to) override;
  void fill_zero(Stream&, void* to, int64_t bytes) override;
  void copy(Stream&, const void* from, void* to, int64_t bytes) override;

 private:
  int threads_;
  std::unique_ptr<CpuGemm> gemm_;
  std::unique_ptr<CpuAttention> attention_;
};

}  // namespace tessera
