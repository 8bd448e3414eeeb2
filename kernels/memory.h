#pragma once
#include "kernels/subject.h"

namespace tessera {

/// What moves numbers, and computes nothing.
class MemoryKernels : public KernelSubject {
 public:
  /// to = from, rounded to nearest even where to is bf16.  [rows, cols] of any compute types.  Counted to the phase of
  /// its caller.
  void cast(Stream& stream, ConstView from, View to) { enqueue_cast(stream, from, to); }
  void fill_zero(Stream& stream, void* to, int64_t bytes) {
    timed(stream, Phase::elementwise, "fill_zero", [&] { enqueue_fill_zero(stream, to, bytes); });
  }
  void copy(Stream& stream, const void* from, void* to, int64_t bytes) {
    timed(stream, Phase::elementwise, "copy", [&] { enqueue_copy(stream, from, to, bytes); });
  }

 private:
  virtual void enqueue_cast(Stream&, ConstView from, View to) = 0;
  virtual void enqueue_fill_zero(Stream&, void* to, int64_t bytes) = 0;
  virtual void enqueue_copy(Stream&, const void* from, void* to, int64_t bytes) = 0;
};

}  // namespace tessera
