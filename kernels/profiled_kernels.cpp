#include "kernels/profiled_kernels.h"

#include <utility>

namespace tessera {
namespace {

class ProfiledKernels final : public Kernels {
 public:
  ProfiledKernels(std::unique_ptr<Kernels> kernels, Profiler& profiler)
      : kernels_(std::move(kernels)), profiler_(profiler) {}

  void reserve(const LargestShapes& largest) override { kernels_->reserve(largest); }
  int64_t workspace_bytes(const LargestShapes& largest) override { return kernels_->workspace_bytes(largest); }
  void linear_forward(Stream& s, ConstView x, ConstView w, ConstView bias, ConstView added, View y) override {
    timed(s, Phase::gemm, "linear_forward", [&] { kernels_->linear_forward(s, x, w, bias, added, y); });
  }
  void linear_backward_input(Stream& s, ConstView dy, ConstView w, View dx, Write mode) override {
    timed(s, Phase::gemm, "linear_backward_input", [&] { kernels_->linear_backward_input(s, dy, w, dx, mode); });
  }
  void linear_backward_weight(Stream& s, ConstView dy, ConstView x, View dw, Write mode) override {
    timed(s, Phase::gemm, "linear_backward_weight", [&] { kernels_->linear_backward_weight(s, dy, x, dw, mode); });
  }
  void bias_backward(Stream& s, ConstView dy, View db) override {
    timed(s, Phase::elementwise, "bias_backward", [&] { kernels_->bias_backward(s, dy, db); });
  }
  void embedding_forward(Stream& s, const int32_t* tokens, ConstView table, View y) override {
    timed(s, Phase::elementwise, "embedding_forward", [&] { kernels_->embedding_forward(s, tokens, table, y); });
  }
  void embedding_backward(Stream& s, const int32_t* tokens, ConstView dy, View dtable) override {
    timed(s, Phase::elementwise, "embedding_backward", [&] { kernels_->embedding_backward(s, tokens, dy, dtable); });
  }
  void scatter_rows(Stream& s, const int32_t* rows, ConstView x, View y) override {
    timed(s, Phase::elementwise, "scatter_rows", [&] { kernels_->scatter_rows(s, rows, x, y); });
  }
  void rmsnorm_forward(Stream& s, ConstView x, ConstView w, float eps, View y, float* inv_rms) override {
    timed(s, Phase::elementwise, "rmsnorm_forward", [&] { kernels_->rmsnorm_forward(s, x, w, eps, y, inv_rms); });
  }
  void rmsnorm_backward(Stream& s, ConstView x, ConstView w, const float* inv_rms, ConstView dy, View dx, Write mode,
                        View dw) override {
    timed(s, Phase::elementwise, "rmsnorm_backward",
          [&] { kernels_->rmsnorm_backward(s, x, w, inv_rms, dy, dx, mode, dw); });
  }
  void head_rmsnorm_forward(Stream& s, ConstView x, ConstView w, float eps, View y, float* inv_rms) override {
    timed(s, Phase::elementwise, "head_rmsnorm_forward",
          [&] { kernels_->head_rmsnorm_forward(s, x, w, eps, y, inv_rms); });
  }
  void head_rmsnorm_backward(Stream& s, ConstView x, ConstView w, const float* inv_rms, ConstView dy, View dx,
                             View dw) override {
    timed(s, Phase::elementwise, "head_rmsnorm_backward",
          [&] { kernels_->head_rmsnorm_backward(s, x, w, inv_rms, dy, dx, dw); });
  }
  void rope_table(Stream& s, const int32_t* positions, int64_t T, const float* inv_freq, int64_t half, float scale,
                  float* cos, float* sin) override {
    timed(s, Phase::elementwise, "rope_table",
          [&] { kernels_->rope_table(s, positions, T, inv_freq, half, scale, cos, sin); });
  }
  void rope_forward(Stream& s, const float* cos, const float* sin, int64_t D, View x) override {
    timed(s, Phase::elementwise, "rope_forward", [&] { kernels_->rope_forward(s, cos, sin, D, x); });
  }
  void rope_backward(Stream& s, const float* cos, const float* sin, int64_t D, View dx) override {
    timed(s, Phase::elementwise, "rope_backward", [&] { kernels_->rope_backward(s, cos, sin, D, dx); });
  }
  void attention_forward(Stream& s, const AttentionShape& shape, ConstView q, ConstView k, ConstView v, View out,
                         float* log_sum_exp) override {
    timed(s, Phase::attention, "attention_forward",
          [&] { kernels_->attention_forward(s, shape, q, k, v, out, log_sum_exp); });
  }
  void attention_backward(Stream& s, const AttentionShape& shape, ConstView q, ConstView k, ConstView v, ConstView out,
                          const float* log_sum_exp, ConstView dout, View dq, View dk, View dv) override {
    timed(s, Phase::attention, "attention_backward",
          [&] { kernels_->attention_backward(s, shape, q, k, v, out, log_sum_exp, dout, dq, dk, dv); });
  }
  void attention_decode(Stream& s, const AttentionShape& shape, ConstView q, const View* k_cache, const View* v_cache,
                        const int64_t* length, View out) override {
    timed(s, Phase::attention, "attention_decode",
          [&] { kernels_->attention_decode(s, shape, q, k_cache, v_cache, length, out); });
  }
  void swiglu_forward(Stream& s, ConstView gate_up, View y) override {
    timed(s, Phase::elementwise, "swiglu_forward", [&] { kernels_->swiglu_forward(s, gate_up, y); });
  }
  void swiglu_backward(Stream& s, ConstView gate_up, ConstView dy, View dgate_up, View y) override {
    timed(s, Phase::elementwise, "swiglu_backward", [&] { kernels_->swiglu_backward(s, gate_up, dy, dgate_up, y); });
  }
  void cross_entropy(Stream& s, ConstView logits, const int32_t* targets, float gradient_scale, View dlogits,
                     double* loss_sum) override {
    timed(s, Phase::loss, "cross_entropy",
          [&] { kernels_->cross_entropy(s, logits, targets, gradient_scale, dlogits, loss_sum); });
  }
  // The optimiser's kernels have a phase of their own.
  void squared_norm(Stream& s, const float* x, int64_t n, double* sum) override {
    kernels_->squared_norm(s, x, n, sum);
  }
  void adamw(Stream& s, const AdamWStep& step, int64_t n, float* master, float* exp_avg, float* exp_avg_sq,
             const float* gradient, View weights) override {
    kernels_->adamw(s, step, n, master, exp_avg, exp_avg_sq, gradient, weights);
  }
  void cast(Stream& s, ConstView from, View to) override { kernels_->cast(s, from, to); }
  void fill_zero(Stream& s, void* to, int64_t bytes) override {
    timed(s, Phase::elementwise, "fill_zero", [&] { kernels_->fill_zero(s, to, bytes); });
  }
  void copy(Stream& s, const void* from, void* to, int64_t bytes) override {
    timed(s, Phase::elementwise, "copy", [&] { kernels_->copy(s, from, to, bytes); });
  }

 private:
  template <typename F>
  void timed(Stream& stream, Phase phase, const char* name, const F& enqueue) {
    profiler_.begin(stream, phase, name);
    enqueue();
    profiler_.end(stream, phase);
  }

  std::unique_ptr<Kernels> kernels_;
  Profiler& profiler_;
};

}  // namespace

std::unique_ptr<Kernels> profile_kernels(std::unique_ptr<Kernels> kernels, Profiler& profiler) {
  return std::make_unique<ProfiledKernels>(std::move(kernels), profiler);
}

}  // namespace tessera
