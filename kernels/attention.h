#pragma once
#include <algorithm>

#include "kernels/subject.h"

namespace tessera {

struct AttentionShape {
  int64_t H, G, D;
  int64_t window;             ///< position i sees i-window+1 … i; 0: all before it
  float scale;                ///< on the scores, usually 1/sqrt(D)
  const int32_t* cu_seqlens;  ///< N+1 entries in host memory, alive until the stream passes
  int64_t N;
  const int32_t* cu_seqlens_on_device = nullptr;  ///< the same where a GPU reads them; a CPU does not look
  /// Scores s = scale · q·k become softcap · tanh(s / softcap) before their softmax (Gemma Team 2024, section 2);
  /// 0: they do not.
  float softcap = 0;

  int64_t longest_document() const {
    int64_t longest = 0;
    for (int64_t n = 0; n < N; ++n) longest = std::max<int64_t>(longest, cu_seqlens[n + 1] - cu_seqlens[n]);
    return longest;
  }
};

/// Rows behind the last one that attention may read and multiply by zero, which a NaN would survive: the tile that
/// holds a batch's last token is that long on a GPU.
constexpr int64_t attention_spare_rows(DeviceKind device) { return device == DeviceKind::cuda ? 128 : 0; }

/// Causal attention inside each document.
class AttentionKernels : public KernelSubject {
 public:
  /// Blocked, with an online softmax: no T×T matrix in memory.
  /// q, out [T, H·D], k, v [T, G·D] (slices allowed): compute type; log_sum_exp: T·H floats, [t, h].  Behind all of
  /// them, and dout, lie attention_spare_rows() more of finite numbers.
  /// Dao et al. 2022 (FlashAttention), algorithm 1.
  void forward(Stream& stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v, View out,
               float* log_sum_exp) {
    timed(stream, Phase::attention, "attention_forward",
          [&] { enqueue_attention_forward(stream, shape, q, k, v, out, log_sum_exp); });
  }
  /// dq, dk, dv (overwritten) from dout; FlashAttention-2, algorithm 2.  out and log_sum_exp are the forward pass's.
  void backward(Stream& stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v, ConstView out,
                const float* log_sum_exp, ConstView dout, View dq, View dk, View dv) {
    timed(stream, Phase::attention, "attention_backward",
          [&] { enqueue_attention_backward(stream, shape, q, k, v, out, log_sum_exp, dout, dq, dk, dv); });
  }
  /// One new token a sequence against a cache: q, out [B, H·D]; k, v: per sequence b, rows 0 … length[b]-1 of
  /// k_cache[b], v_cache[b] [capacity, G·D].  For generation.
  void decode(Stream& stream, const AttentionShape& shape, ConstView q, const View* k_cache, const View* v_cache,
              const int64_t* length, View out) {
    timed(stream, Phase::attention, "attention_decode",
          [&] { enqueue_attention_decode(stream, shape, q, k_cache, v_cache, length, out); });
  }

 private:
  virtual void enqueue_attention_forward(Stream&, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                                         View out, float* log_sum_exp) = 0;
  virtual void enqueue_attention_backward(Stream&, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                                          ConstView out, const float* log_sum_exp, ConstView dout, View dq, View dk,
                                          View dv) = 0;
  virtual void enqueue_attention_decode(Stream&, const AttentionShape& shape, ConstView q, const View* k_cache,
                                        const View* v_cache, const int64_t* length, View out) = 0;
};

}  // namespace tessera
