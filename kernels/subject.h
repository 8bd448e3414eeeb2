#pragma once
#include <cstdint>

#include "device/device.h"
#include "device/profiler.h"
#include "device/view.h"

namespace tessera {

struct LargestShapes;  // kernels.h

enum class Write { overwrite, accumulate };  ///< y = ..., or y += ...

/// What is added to a result that is written to y: y, or nothing.
inline ConstView addend(const ConstView& y, Write mode) { return mode == Write::accumulate ? y : ConstView(); }

/// The kernels of one subject.  A public function of a subject is a kernel's contract, its name and its phase in a
/// profile; it calls a private one, `enqueue_` and the kernel's name, which a device's class overrides.
class KernelSubject {
 public:
  KernelSubject() = default;
  virtual ~KernelSubject() = default;
  KernelSubject(const KernelSubject&) = delete;
  KernelSubject& operator=(const KernelSubject&) = delete;

  /// What these kernels need of the workspace that a GPU's kernels share (Kernels::reserve).
  virtual int64_t workspace_bytes(const LargestShapes& /*largest*/) { return 0; }

  /// From here on the time of each call goes to its phase.
  void profile(Profiler& profiler) { profiler_ = &profiler; }

 protected:
  template <typename Enqueue>
  void timed(Stream& stream, Phase phase, const char* name, const Enqueue& enqueue) {
    if (profiler_ == nullptr) return enqueue();
    profiler_->begin(stream, phase, name);
    enqueue();
    profiler_->end(stream, phase);
  }

 private:
  Profiler* profiler_ = nullptr;
};

}  // namespace tessera
