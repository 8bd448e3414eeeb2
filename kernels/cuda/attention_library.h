#pragma once
#include "kernels/kernels.h"

namespace tessera {

/// Attention by a library that may decline: cuDNN on a GPU (attention_cudnn.h), nobody where there is none.
class AttentionLibrary {
 public:
  virtual ~AttentionLibrary() = default;

  /// No batch will be larger: what depends on its size is the same for every batch then.  Returns how much of the
  /// workspace (workspace.h) its calls will take, 0 where they will be declined.
  virtual int64_t announce(const LargestShapes& largest) = 0;

  /// kernels.h's attention_forward and attention_backward; `shape` has cu_seqlens on the device too.  False: the
  /// library declines and nothing was enqueued; own kernels are to do it.  The log says why, once for each reason.
  /// Statistics are the same, so one pass may be the library's and the other one's own.
  virtual bool forward(Stream& stream, const Kernels::AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                       View out, float* log_sum_exp) = 0;
  virtual bool backward(Stream& stream, const Kernels::AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                        ConstView out, const float* log_sum_exp, ConstView dout, View dq, View dk, View dv) = 0;
};

}  // namespace tessera
