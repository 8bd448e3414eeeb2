#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "device/device.h"
#include "device/view.h"

/// The one list of kernels.  Shape letters, here and everywhere:
///   T tokens   C width   H query heads   G key/value heads   D head width   F feed-forward width   V vocabulary
///   L layers   R ranks   N documents of a batch (cu_seqlens has N+1 entries, the first 0, the last T)
///
/// Every kernel is enqueued on `stream`: pointers stay alive, and outputs are undefined, until the stream passes this
/// point.  "compute type" is fp32 or bf16, the same for all such views of one call; arithmetic is fp32 inside.
/// T may be 0.  Views may be slices (row_stride > cols) unless a line says "contiguous".  All are deterministic: the
/// same inputs give the same bits with the same number of threads.
namespace tessera {

enum class Write { overwrite, accumulate };  ///< y = ..., or y += ...

/// What is added to a result that is written to y: y, or nothing.
inline ConstView addend(const ConstView& y, Write mode) { return mode == Write::accumulate ? y : ConstView(); }

struct AdamWStep {
  float learning_rate;
  double beta1, beta2;  ///< in double: 1 - 0.999f would be off by 1e-5
  float epsilon, weight_decay;
  float bias_correction1, bias_correction2;  ///< 1 - beta^k, k the update's number from 1
  float gradient_scale;                      ///< the clipping factor, multiplied into each gradient as it is read
};

/// The largest sizes of a job, by their letters.
struct LargestShapes {
  int64_t T, C, H, G, D, F;
  int64_t longest;                     ///< tokens of a document
  int64_t shard;                       ///< elements of the flat shard; 0: nothing is trained
  DType dtype;                         ///< the compute type
  std::vector<int64_t> windows = {0};  ///< of the layers, each once

  bool trains() const { return shard > 0; }
};

class Kernels {
 public:
  virtual ~Kernels() = default;

  /// Makes room for what kernels need beside their arguments, so that none is allocated in a step: workspace_bytes() of
  /// Memory::device.  A CPU's kernels take what they need in the first steps: 0.
  virtual void reserve(const LargestShapes& /*largest*/) {}
  virtual int64_t workspace_bytes(const LargestShapes& /*largest*/) { return 0; }

  // ---- matrix products; fp32 accumulation; weights as Hugging Face stores them: w [O, I], y = x wᵀ + b ----

  /// y [T, O] = x [T, I] · wᵀ + bias + added.  x, w: compute type; bias [1, O] compute type or empty;
  /// y: compute type, or fp32 (logits); added [T, O]: of y's type, may be y, or empty.
  virtual void linear_forward(Stream& stream, ConstView x, ConstView w, ConstView bias, ConstView added, View y) = 0;
  /// dx [T, I] = (or +=) dy [T, O] · w.  All of the compute type.
  virtual void linear_backward_input(Stream& stream, ConstView dy, ConstView w, View dx, Write mode) = 0;
  /// dw [O, I] = (or +=) dyᵀ · x; 0 where T is.  dy [T, O], x [T, I]: compute type; dw: fp32.
  virtual void linear_backward_weight(Stream& stream, ConstView dy, ConstView x, View dw, Write mode) = 0;
  /// db [1, O] += column sums of dy [T, O].  db: fp32.
  virtual void bias_backward(Stream& stream, ConstView dy, View db) = 0;

  // ---- embedding ----

  /// y[t,:] = table[tokens[t],:].  tokens: T ids below V; table [V, C], y [T, C]: compute type.
  virtual void embedding_forward(Stream& stream, const int32_t* tokens, ConstView table, View y) = 0;
  /// dtable[tokens[t],:] += dy[t,:], in the order of t for each row.  dy [T, C]: compute type; dtable [V, C]: fp32.
  virtual void embedding_backward(Stream& stream, const int32_t* tokens, ConstView dy, View dtable) = 0;
  /// y[rows[s],:] = x[s,:], all other rows of y 0.  x [S, C], y [T, C]: compute type; rows: S of them, ascending.
  virtual void scatter_rows(Stream& stream, const int32_t* rows, ConstView x, View y) = 0;

  // ---- normalisation ----

  /// y[t,:] = x[t,:] / rms(x[t,:]) * w; inv_rms[t] = 1 / sqrt(mean(x²) + eps), kept for the backward pass.
  /// x, y [T, C], w [1, C]: compute type; inv_rms: T floats.  y may be x.  Zhang & Sennrich 2019, eq. 4.
  virtual void rmsnorm_forward(Stream& stream, ConstView x, ConstView w, float eps, View y, float* inv_rms) = 0;
  /// dx = (or +=) dL/dx, dw += dL/dw of the above.  dx may be dy.  dw [1, C]: fp32.
  virtual void rmsnorm_backward(Stream& stream, ConstView x, ConstView w, const float* inv_rms, ConstView dy, View dx,
                                Write mode, View dw) = 0;
  /// rmsnorm_forward of each head: x, y [T, heads·D] (slices allowed), w [1, D]; inv_rms: T·heads floats, [t, head].
  virtual void head_rmsnorm_forward(Stream& stream, ConstView x, ConstView w, float eps, View y, float* inv_rms) = 0;
  /// dx = dL/dx (may be dy), dw [1, D] fp32 += dL/dw of the above.
  virtual void head_rmsnorm_backward(Stream& stream, ConstView x, ConstView w, const float* inv_rms, ConstView dy,
                                     View dx, View dw) = 0;

  // ---- rotary positions; Su et al. 2021, in the half-split layout of Hugging Face ----

  /// cos[t,i] = scale * cos(positions[t] * inv_freq[i]), sin likewise; cos, sin: T · D/2 floats; inv_freq: D/2 floats
  /// on the host, copied before returning.  The angle is the fp32 product, as transformers computes it.
  virtual void rope_table(Stream& stream, const int32_t* positions, int64_t T, const float* inv_freq, int64_t half,
                          float scale, float* cos, float* sin) = 0;
  /// In place, for every head of x [T, heads·D] (slices allowed): (a, b) of the two halves of a head becomes
  /// (a·cos - b·sin, b·cos + a·sin).
  virtual void rope_forward(Stream& stream, const float* cos, const float* sin, int64_t D, View x) = 0;
  /// The inverse rotation, in place on dL/dx.
  virtual void rope_backward(Stream& stream, const float* cos, const float* sin, int64_t D, View dx) = 0;

  // ---- attention ----

  struct AttentionShape {
    int64_t H, G, D;
    int64_t window;             ///< position i sees i-window+1 … i; 0: all before it
    float scale;                ///< on the scores, usually 1/sqrt(D)
    const int32_t* cu_seqlens;  ///< N+1 entries in host memory, alive until the stream passes
    int64_t N;
    const int32_t* cu_seqlens_on_device = nullptr;  ///< the same where a GPU reads them; a CPU does not look

    int64_t longest_document() const {
      int64_t longest = 0;
      for (int64_t n = 0; n < N; ++n) longest = std::max<int64_t>(longest, cu_seqlens[n + 1] - cu_seqlens[n]);
      return longest;
    }
  };
  /// Causal attention inside each document, blocked with an online softmax: no T×T matrix in memory.
  /// q, out [T, H·D], k, v [T, G·D] (slices allowed): compute type; log_sum_exp: T·H floats, [t, h].  Behind all of
  /// them, and dout, lie attention_spare_rows() more of finite numbers.
  /// Dao et al. 2022 (FlashAttention), algorithm 1.
  virtual void attention_forward(Stream& stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                                 View out, float* log_sum_exp) = 0;
  /// dq, dk, dv (overwritten) from dout; FlashAttention-2, algorithm 2.  out and log_sum_exp are the forward pass's.
  virtual void attention_backward(Stream& stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                                  ConstView out, const float* log_sum_exp, ConstView dout, View dq, View dk,
                                  View dv) = 0;
  /// One new token a sequence against a cache: q, out [B, H·D]; k, v: per sequence b, rows 0 … length[b]-1 of
  /// k_cache[b], v_cache[b] [capacity, G·D].  For generation.
  virtual void attention_decode(Stream& stream, const AttentionShape& shape, ConstView q, const View* k_cache,
                                const View* v_cache, const int64_t* length, View out) = 0;

  // ---- feed-forward ----

  /// y[t,f] = silu(gate_up[t,f]) * gate_up[t,F+f].  gate_up [T, 2F], y [T, F]: compute type.  Shazeer 2020.
  virtual void swiglu_forward(Stream& stream, ConstView gate_up, View y) = 0;
  /// d(gate_up) [T, 2F] from dy [T, F], and y once more, bit for bit, which costs little there: who needs it in the
  /// backward pass need not have kept it.  dgate_up may be gate_up, y may be dy.
  virtual void swiglu_backward(Stream& stream, ConstView gate_up, ConstView dy, View dgate_up, View y) = 0;

  // ---- loss over a chunk of tokens ----

  /// *loss_sum += Σ_t cross-entropy(logits[t,:], targets[t]) over the targets >= 0 (in the order of t, in double).
  /// logits [t, V]: fp32.  With dlogits (compute type, [t, V]; each row may begin where that of logits does, and then
  /// overwrites it): dlogits = (softmax - onehot) * gradient_scale, rows of ignored targets 0.  An empty dlogits: loss
  /// only.
  virtual void cross_entropy(Stream& stream, ConstView logits, const int32_t* targets, float gradient_scale,
                             View dlogits, double* loss_sum) = 0;

  // ---- the flat shard; n elements, contiguous ----

  /// *sum += Σ x² in double.
  virtual void squared_norm(Stream& stream, const float* x, int64_t n, double* sum) = 0;
  /// torch.optim.AdamW (Loshchilov & Hutter 2019): decay, moments, update; then `weights` (compute type; n elements;
  /// may be empty, or the same memory as master when fp32) = master.
  virtual void adamw(Stream& stream, const AdamWStep& step, int64_t n, float* master, float* exp_avg, float* exp_avg_sq,
                     const float* gradient, View weights) = 0;
  /// to = from, rounded to nearest even where to is bf16.  [rows, cols] of any compute types.
  virtual void cast(Stream& stream, ConstView from, View to) = 0;
  virtual void fill_zero(Stream& stream, void* to, int64_t bytes) = 0;
  virtual void copy(Stream& stream, const void* from, void* to, int64_t bytes) = 0;
};

/// Rows behind the last one that attention may read and multiply by zero, which a NaN would survive: the tile that
/// holds a batch's last token is that long on a GPU.
constexpr int64_t attention_spare_rows(DeviceKind device) { return device == DeviceKind::cuda ? 128 : 0; }

struct KernelSettings {
  bool deterministic = true;  ///< false: a GPU's libraries may add in an order that depends on timing
};

/// The kernels for a device.  Lives as long as its streams have work.
std::unique_ptr<Kernels> make_kernels(Device& device, const KernelSettings& settings = {});

}  // namespace tessera
