#include "kernels/cuda/cuda_kernels.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "device/cuda/cuda_device.h"
#include "kernels/cuda/gemm_description.h"
#include "kernels/cuda/launchers.h"

namespace tessera {
namespace {

/// What the own attention kernels take.
cuda::Attention own_attention(const Kernels::AttentionShape& s) {
  return {s.H, s.G, s.D, s.window, s.scale, s.cu_seqlens_on_device, s.N, s.longest_document()};
}

}  // namespace

CudaKernels::CudaKernels(std::shared_ptr<Workspace> workspace, std::unique_ptr<CublasLtGemm> products,
                         std::unique_ptr<FusedAttention> attention)
    : workspace_(std::move(workspace)), products_(std::move(products)), attention_(std::move(attention)) {}

int64_t CudaKernels::workspace_bytes(const LargestShapes& s) {
  const int64_t widest = std::max({s.C, 2 * s.F, (s.H + 2 * s.G) * s.D});
  return std::max({products_->workspace_bytes(), attention_ ? attention_->announce(s) : 0,
                   cuda::bias_backward_scratch_bytes(s.T, widest), cuda::squared_norm_scratch_bytes(s.shard),
                   cuda::embedding_backward_scratch_bytes(s.T), cuda::rmsnorm_backward_scratch_bytes(s.T, s.C),
                   cuda::rmsnorm_backward_scratch_bytes(s.T * s.H, s.D),
                   cuda::attention_backward_scratch_bytes(s.T, s.H), cuda::cross_entropy_scratch_bytes(s.T)});
}

void CudaKernels::reserve(const LargestShapes& s) { workspace_->reserve(workspace_bytes(s)); }

// ---- matrix products ----

void CudaKernels::linear_forward(Stream& s, ConstView x, ConstView w, ConstView bias, ConstView added, View y) {
  products_->run(s, describe_linear_forward(x, w, bias, added, y), {w.data, x.data, bias.data, added.data, y.data});
}

void CudaKernels::linear_backward_input(Stream& s, ConstView dy, ConstView w, View dx, Write mode) {
  products_->run(s, describe_linear_backward_input(dy, w, dx, mode),
                 {w.data, dy.data, nullptr, addend(dx, mode).data, dx.data});
}

void CudaKernels::linear_backward_weight(Stream& s, ConstView dy, ConstView x, View dw, Write mode) {
  const GemmDescription product = describe_linear_backward_weight(dy, x, dw, mode);
  if (product.k == 0 && mode == Write::overwrite) cuda::fill_zero(cuda_stream(s), dw);  // a sum of nothing
  products_->run(s, product, {x.data, dy.data, nullptr, addend(dw, mode).data, dw.data});
}

void CudaKernels::bias_backward(Stream& s, ConstView dy, View db) {
  cuda::bias_backward(cuda_stream(s), dy, db, scratch(s, cuda::bias_backward_scratch_bytes(dy.rows, dy.cols)));
}

// ---- embedding ----

void CudaKernels::embedding_forward(Stream& s, const int32_t* tokens, ConstView table, View y) {
  cuda::embedding_forward(cuda_stream(s), tokens, table, y);
}

void CudaKernels::embedding_backward(Stream& s, const int32_t* tokens, ConstView dy, View dtable) {
  cuda::embedding_backward(cuda_stream(s), tokens, dy, dtable,
                           scratch(s, cuda::embedding_backward_scratch_bytes(dy.rows)));
}

void CudaKernels::scatter_rows(Stream& s, const int32_t* rows, ConstView x, View y) {
  cuda::scatter_rows(cuda_stream(s), rows, x, y);
}

// ---- normalisation ----

void CudaKernels::rmsnorm_forward(Stream& s, ConstView x, ConstView w, float eps, View y, float* inv_rms) {
  cuda::rmsnorm_forward(cuda_stream(s), x, w, eps, y, inv_rms);
}

void CudaKernels::rmsnorm_backward(Stream& s, ConstView x, ConstView w, const float* inv_rms, ConstView dy, View dx,
                                   Write mode, View dw) {
  const int64_t rows = x.rows * (x.cols / w.cols);  // of heads, where w is a head's
  cuda::rmsnorm_backward(cuda_stream(s), x, w, inv_rms, dy, dx, mode, dw,
                         scratch(s, cuda::rmsnorm_backward_scratch_bytes(rows, w.cols)));
}

void CudaKernels::head_rmsnorm_forward(Stream& s, ConstView x, ConstView w, float eps, View y, float* inv_rms) {
  rmsnorm_forward(s, x, w, eps, y, inv_rms);
}

void CudaKernels::head_rmsnorm_backward(Stream& s, ConstView x, ConstView w, const float* inv_rms, ConstView dy,
                                        View dx, View dw) {
  rmsnorm_backward(s, x, w, inv_rms, dy, dx, Write::overwrite, dw);
}

// ---- rotary positions ----

void CudaKernels::rope_table(Stream& s, const int32_t* positions, int64_t T, const float* inv_freq, int64_t half,
                             float scale, float* cos, float* sin) {
  cuda::rope_table(cuda_stream(s), positions, T, inv_freq, half, scale, cos, sin);
}

void CudaKernels::rope_forward(Stream& s, const float* cos, const float* sin, int64_t D, View x) {
  cuda::rope_forward(cuda_stream(s), cos, sin, D, x);
}

void CudaKernels::rope_backward(Stream& s, const float* cos, const float* sin, int64_t D, View dx) {
  cuda::rope_backward(cuda_stream(s), cos, sin, D, dx);
}

// ---- attention ----

void CudaKernels::attention_forward(Stream& s, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                                    View out, float* log_sum_exp) {
  if (attention_ && attention_->forward(s, shape, q, k, v, out, log_sum_exp)) return;
  cuda::attention_forward(cuda_stream(s), own_attention(shape), q, k, v, out, log_sum_exp);
}

void CudaKernels::attention_backward(Stream& s, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                                     ConstView out, const float* log_sum_exp, ConstView dout, View dq, View dk,
                                     View dv) {
  if (attention_ && attention_->backward(s, shape, q, k, v, out, log_sum_exp, dout, dq, dk, dv)) return;
  cuda::attention_backward(cuda_stream(s), own_attention(shape), q, k, v, out, log_sum_exp, dout, dq, dk, dv,
                           scratch(s, cuda::attention_backward_scratch_bytes(q.rows, shape.H)));
}

void CudaKernels::attention_decode(Stream& s, const AttentionShape& shape, ConstView q, const View* k_cache,
                                   const View* v_cache, const int64_t* length, View out) {
  const cuda::Attention sizes{shape.H, shape.G, shape.D, shape.window, shape.scale, nullptr, 0, 0};
  cuda::attention_decode(cuda_stream(s), sizes, q, k_cache, v_cache, length, out);
}

// ---- the rest ----

void CudaKernels::swiglu_forward(Stream& s, ConstView gate_up, View y) {
  cuda::swiglu_forward(cuda_stream(s), gate_up, y);
}

void CudaKernels::swiglu_backward(Stream& s, ConstView gate_up, ConstView dy, View dgate_up, View y) {
  cuda::swiglu_backward(cuda_stream(s), gate_up, dy, dgate_up, y);
}

void CudaKernels::cross_entropy(Stream& s, ConstView logits, const int32_t* targets, float gradient_scale, View dlogits,
                                double* loss_sum) {
  cuda::cross_entropy(cuda_stream(s), logits, targets, gradient_scale, dlogits, loss_sum,
                      scratch(s, cuda::cross_entropy_scratch_bytes(logits.rows)));
}

void CudaKernels::squared_norm(Stream& s, const float* x, int64_t n, double* sum) {
  cuda::squared_norm(cuda_stream(s), x, n, sum, scratch(s, cuda::squared_norm_scratch_bytes(n)));
}

void CudaKernels::adamw(Stream& s, const AdamWStep& step, int64_t n, float* master, float* exp_avg, float* exp_avg_sq,
                        const float* gradient, View weights) {
  cuda::adamw(cuda_stream(s), step, n, master, exp_avg, exp_avg_sq, gradient, weights);
}

void CudaKernels::cast(Stream& s, ConstView from, View to) { cuda::cast(cuda_stream(s), from, to); }

void CudaKernels::fill_zero(Stream& s, void* to, int64_t bytes) { cuda::fill_zero(cuda_stream(s), to, bytes); }

void CudaKernels::copy(Stream& s, const void* from, void* to, int64_t bytes) {
  cuda::copy(cuda_stream(s), from, to, bytes);
}

}  // namespace tessera
