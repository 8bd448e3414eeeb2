#pragma once
#include "kernels/subject.h"

namespace tessera {

/// Which columns turn.
struct RotaryHeads {
  int64_t D;       ///< width of a head
  int64_t turned;  ///< its first columns that turn, even; the others stay as they are
};

/// Rotary positions; Su et al. 2021, in the half-split layout of Hugging Face.
class RotaryKernels : public KernelSubject {
 public:
  /// cos[t,i] = scale * cos(positions[t] * inv_freq[i]), sin likewise; cos, sin: T · half floats; inv_freq: half floats
  /// on the host, copied before returning.  The angle is the fp32 product, as transformers computes it.
  void rope_table(Stream& stream, const int32_t* positions, int64_t T, const float* inv_freq, int64_t half, float scale,
                  float* cos, float* sin) {
    timed(stream, Phase::elementwise, "rope_table",
          [&] { enqueue_rope_table(stream, positions, T, inv_freq, half, scale, cos, sin); });
  }
  /// In place, for every head of x [T, heads·D] (slices allowed): (a, b) of the two halves of the columns that turn
  /// becomes (a·cos - b·sin, b·cos + a·sin).
  void rope_forward(Stream& stream, const float* cos, const float* sin, const RotaryHeads& heads, View x) {
    timed(stream, Phase::elementwise, "rope_forward", [&] { enqueue_rope_forward(stream, cos, sin, heads, x); });
  }
  /// The inverse rotation, in place on dL/dx.
  void rope_backward(Stream& stream, const float* cos, const float* sin, const RotaryHeads& heads, View dx) {
    timed(stream, Phase::elementwise, "rope_backward", [&] { enqueue_rope_backward(stream, cos, sin, heads, dx); });
  }

 private:
  virtual void enqueue_rope_table(Stream&, const int32_t* positions, int64_t T, const float* inv_freq, int64_t half,
                                  float scale, float* cos, float* sin) = 0;
  virtual void enqueue_rope_forward(Stream&, const float* cos, const float* sin, const RotaryHeads& heads, View x) = 0;
  virtual void enqueue_rope_backward(Stream&, const float* cos, const float* sin, const RotaryHeads& heads,
                                     View dx) = 0;
};

}  // namespace tessera
