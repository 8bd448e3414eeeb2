#pragma once
#include <cuda_runtime.h>

#include "kernels/kernels.h"

/// The own CUDA kernels, one host function for each kernel of kernels.h that is not left to a library, with the
/// contract that it has there.  Differences, all because a stream of a GPU runs no host code:
///   - every pointer is to device memory unless a line says "host"; what is on the host is copied before they return;
///   - what a kernel needs besides, `scratch`, is device memory of at least `..._scratch_bytes(...)`, aligned to 16
///     bytes, in use until the stream passes; nothing is allocated here.
/// The same inputs give the same bits on every GPU: sums are cut by sizes alone, and nothing is added atomically.
/// They throw ClusterError, naming the kernel, where a launch is refused.
namespace tessera::cuda {

// ---- reduce.cu ----

int64_t bias_backward_scratch_bytes(int64_t T, int64_t O);
void bias_backward(cudaStream_t stream, ConstView dy, View db, void* scratch);

int64_t squared_norm_scratch_bytes(int64_t n);
void squared_norm(cudaStream_t stream, const float* x, int64_t n, double* sum, void* scratch);

// ---- embedding.cu ----

void embedding_forward(cudaStream_t stream, const int32_t* tokens, ConstView table, View y);
/// Tokens below 2^23; T at most 2^26.
int64_t embedding_backward_scratch_bytes(int64_t T);
void embedding_backward(cudaStream_t stream, const int32_t* tokens, ConstView dy, View dtable, void* scratch);
void scatter_rows(cudaStream_t stream, const int32_t* rows, ConstView x, View y);

// ---- rmsnorm.cu ----

/// Where w is narrower than x it is the norm of each head, else that of the row.
void rmsnorm_forward(cudaStream_t stream, ConstView x, ConstView w, float eps, View y, float* inv_rms);
/// `rows`: T, or T · heads for the norm of each head; `cols`: those of w.
int64_t rmsnorm_backward_scratch_bytes(int64_t rows, int64_t cols);
void rmsnorm_backward(cudaStream_t stream, ConstView x, ConstView w, const float* inv_rms, ConstView dy, View dx,
                      Write mode, View dw, void* scratch);

// ---- rope.cu ----

/// inv_freq: on the host, at most 512.
void rope_table(cudaStream_t stream, const int32_t* positions, int64_t T, const float* inv_freq, int64_t half,
                float scale, float* cos, float* sin);
void rope_forward(cudaStream_t stream, const float* cos, const float* sin, int64_t D, View x);
void rope_backward(cudaStream_t stream, const float* cos, const float* sin, int64_t D, View dx);

// ---- attention_forward.cu, attention_backward.cu, attention_decode.cu: where cuDNN declines; D at most 256 ----

struct Attention {
  int64_t H, G, D;
  int64_t window;
  float scale;
  const int32_t* cu_seqlens;
  int64_t N;
  int64_t longest;  ///< tokens of the longest document, or more
};
void attention_forward(cudaStream_t stream, const Attention& shape, ConstView q, ConstView k, ConstView v, View out,
                       float* log_sum_exp);
int64_t attention_backward_scratch_bytes(int64_t T, int64_t H);
void attention_backward(cudaStream_t stream, const Attention& shape, ConstView q, ConstView k, ConstView v,
                        ConstView out, const float* log_sum_exp, ConstView dout, View dq, View dk, View dv,
                        void* scratch);
/// k_cache, v_cache, length: on the host; cu_seqlens, N and longest of the shape are not read.
void attention_decode(cudaStream_t stream, const Attention& shape, ConstView q, const View* k_cache,
                      const View* v_cache, const int64_t* length, View out);

// ---- swiglu.cu ----

void swiglu_forward(cudaStream_t stream, ConstView gate_up, View y);
void swiglu_backward(cudaStream_t stream, ConstView gate_up, ConstView dy, View dgate_up, View y);

// ---- cross_entropy.cu ----

int64_t cross_entropy_scratch_bytes(int64_t T);
void cross_entropy(cudaStream_t stream, ConstView logits, const int32_t* targets, float gradient_scale, View dlogits,
                   double* loss_sum, void* scratch);

// ---- adamw.cu ----

void adamw(cudaStream_t stream, const AdamWStep& step, int64_t n, float* master, float* exp_avg, float* exp_avg_sq,
           const float* gradient, View weights);

// ---- elementwise.cu ----

void cast(cudaStream_t stream, ConstView from, View to);
void fill_zero(cudaStream_t stream, void* to, int64_t bytes);
void fill_zero(cudaStream_t stream, View to);
void copy(cudaStream_t stream, const void* from, void* to, int64_t bytes);

}  // namespace tessera::cuda
