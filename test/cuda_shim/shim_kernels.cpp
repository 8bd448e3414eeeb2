#include "cuda_shim/shim_kernels.h"

#include <algorithm>
#include <vector>

#include "device/buffer.h"
#include "kernels/cuda/launchers.h"

namespace tessera::test {
namespace {

class ShimKernels final : public Kernels {
 public:
  void linear_forward(Stream& s, ConstView x, ConstView w, ConstView bias, View y, Write mode) override {
    cpu_kernels_->linear_forward(s, x, w, bias, y, mode);
  }
  void linear_backward_input(Stream& s, ConstView dy, ConstView w, View dx, Write mode) override {
    cpu_kernels_->linear_backward_input(s, dy, w, dx, mode);
  }
  void linear_backward_weight(Stream& s, ConstView dy, ConstView x, View dw) override {
    cpu_kernels_->linear_backward_weight(s, dy, x, dw);
  }

  void bias_backward(Stream& s, ConstView dy, View db) override {
    with_scratch(s, cuda::bias_backward_scratch_bytes(dy.rows, dy.cols),
                 [=](void* scratch) { cuda::bias_backward(stream_, dy, db, scratch); });
  }
  void squared_norm(Stream& s, const float* x, int64_t n, double* sum) override {
    with_scratch(s, cuda::squared_norm_scratch_bytes(n),
                 [=](void* scratch) { cuda::squared_norm(stream_, x, n, sum, scratch); });
  }
  void embedding_forward(Stream& s, const int32_t* tokens, ConstView table, View y) override {
    s.enqueue([=] { cuda::embedding_forward(stream_, tokens, table, y); });
  }
  void embedding_backward(Stream& s, const int32_t* tokens, ConstView dy, View dtable) override {
    with_scratch(s, cuda::embedding_backward_scratch_bytes(dy.rows),
                 [=](void* scratch) { cuda::embedding_backward(stream_, tokens, dy, dtable, scratch); });
  }
  void scatter_rows(Stream& s, const int32_t* rows, ConstView x, View y) override {
    s.enqueue([=] { cuda::scatter_rows(stream_, rows, x, y); });
  }
  void rmsnorm_forward(Stream& s, ConstView x, ConstView w, float eps, View y, float* inv_rms) override {
    s.enqueue([=] { cuda::rmsnorm_forward(stream_, x, w, eps, y, inv_rms); });
  }
  void rmsnorm_backward(Stream& s, ConstView x, ConstView w, const float* inv_rms, ConstView dy, View dx, Write mode,
                        View dw) override {
    with_scratch(s, cuda::rmsnorm_backward_scratch_bytes(x.rows * (x.cols / w.cols), w.cols),
                 [=](void* scratch) { cuda::rmsnorm_backward(stream_, x, w, inv_rms, dy, dx, mode, dw, scratch); });
  }
  void head_rmsnorm_forward(Stream& s, ConstView x, ConstView w, float eps, View y, float* inv_rms) override {
    rmsnorm_forward(s, x, w, eps, y, inv_rms);
  }
  void head_rmsnorm_backward(Stream& s, ConstView x, ConstView w, const float* inv_rms, ConstView dy, View dx,
                             View dw) override {
    rmsnorm_backward(s, x, w, inv_rms, dy, dx, Write::overwrite, dw);
  }
  void rope_table(Stream& s, const int32_t* positions, int64_t T, const float* inv_freq, int64_t half, float scale,
                  float* cos, float* sin) override {
    s.enqueue([=, frequencies = std::vector<float>(inv_freq, inv_freq + half)] {
      cuda::rope_table(stream_, positions, T, frequencies.data(), half, scale, cos, sin);
    });
  }
  void rope_forward(Stream& s, const float* cos, const float* sin, int64_t D, View x) override {
    s.enqueue([=] { cuda::rope_forward(stream_, cos, sin, D, x); });
  }
  void rope_backward(Stream& s, const float* cos, const float* sin, int64_t D, View dx) override {
    s.enqueue([=] { cuda::rope_backward(stream_, cos, sin, D, dx); });
  }
  void attention_forward(Stream& s, const AttentionShape& shape, ConstView q, ConstView k, ConstView v, View out,
                         float* log_sum_exp) override {
    s.enqueue([=, &device = s.device()] {
      const Documents documents(device, shape);
      cuda::attention_forward(stream_, documents.shape, q, k, v, out, log_sum_exp);
    });
  }
  void attention_backward(Stream& s, const AttentionShape& shape, ConstView q, ConstView k, ConstView v, ConstView out,
                          const float* log_sum_exp, ConstView dout, View dq, View dk, View dv) override {
    with_scratch(s, cuda::attention_backward_scratch_bytes(q.rows, shape.H), [=, &device = s.device()](void* scratch) {
      const Documents documents(device, shape);
      cuda::attention_backward(stream_, documents.shape, q, k, v, out, log_sum_exp, dout, dq, dk, dv, scratch);
    });
  }
  void attention_decode(Stream& s, const AttentionShape& shape, ConstView q, const View* k_cache, const View* v_cache,
                        const int64_t* length, View out) override {
    s.enqueue([=] {
      const cuda::Attention sizes{shape.H, shape.G, shape.D, shape.window, shape.scale, nullptr, 0, 0};
      cuda::attention_decode(stream_, sizes, q, k_cache, v_cache, length, out);
    });
  }
  void swiglu_forward(Stream& s, ConstView gate_up, View y) override {
    s.enqueue([=] { cuda::swiglu_forward(stream_, gate_up, y); });
  }
  void swiglu_backward(Stream& s, ConstView gate_up, ConstView dy, View dgate_up) override {
    s.enqueue([=] { cuda::swiglu_backward(stream_, gate_up, dy, dgate_up); });
  }
  void cross_entropy(Stream& s, ConstView logits, const int32_t* targets, float gradient_scale, View dlogits,
                     double* loss_sum) override {
    with_scratch(s, cuda::cross_entropy_scratch_bytes(logits.rows), [=](void* scratch) {
      cuda::cross_entropy(stream_, logits, targets, gradient_scale, dlogits, loss_sum, scratch);
    });
  }
  void adamw(Stream& s, const AdamWStep& step, int64_t n, float* master, float* exp_avg, float* exp_avg_sq,
             const float* gradient, View weights) override {
    s.enqueue([=] { cuda::adamw(stream_, step, n, master, exp_avg, exp_avg_sq, gradient, weights); });
  }
  void cast(Stream& s, ConstView from, View to) override {
    s.enqueue([=] { cuda::cast(stream_, from, to); });
  }
  void fill_zero(Stream& s, void* to, int64_t bytes) override {
    s.enqueue([=] { cuda::fill_zero(stream_, to, bytes); });
  }
  void copy(Stream& s, const void* from, void* to, int64_t bytes) override {
    s.enqueue([=] { cuda::copy(stream_, from, to, bytes); });
  }

 private:
  /// The documents as a GPU needs them.
  struct Documents {
    Documents(Device& device, const AttentionShape& s)
        : cu_seqlens(device, (s.N + 1) * int64_t{sizeof(int32_t)}, "cu_seqlens"),
          shape{s.H, s.G, s.D, s.window, s.scale, cu_seqlens.as<int32_t>(), s.N, 0} {
      std::copy_n(s.cu_seqlens, s.N + 1, cu_seqlens.as<int32_t>());
      for (int64_t n = 0; n < s.N; ++n)
        shape.longest = std::max<int64_t>(shape.longest, s.cu_seqlens[n + 1] - s.cu_seqlens[n]);
    }
    Buffer cu_seqlens;
    cuda::Attention shape;
  };

  template <typename Work>
  static void with_scratch(Stream& s, int64_t bytes, const Work& work) {
    s.enqueue([bytes, work, &device = s.device()] {
      const Buffer scratch(device, bytes, "scratch");
      work(scratch.data());
    });
  }

  static constexpr cudaStream_t stream_ = nullptr;
  const std::unique_ptr<Device> cpu_ = make_cpu_device(1);
  const std::unique_ptr<Kernels> cpu_kernels_ = make_kernels(*cpu_);
};

}  // namespace

std::unique_ptr<Kernels> make_shim_kernels() { return std::make_unique<ShimKernels>(); }

}  // namespace tessera::test
