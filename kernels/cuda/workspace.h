#pragma once
#include "device/buffer.h"

namespace tessera {

/// What is cut from a workspace begins at multiples of this, as cuBLASLt and cuDNN want it.
constexpr int64_t workspace_alignment = 256;

/// Device memory of all kernels of the one stream that computes, own ones and the libraries': what lies in it ends with
/// the call that put it there.
class Workspace {
 public:
  explicit Workspace(Device& device) : device_(device) {}

  void reserve(int64_t bytes) {
    if (memory_.bytes() >= bytes) return;
    memory_.reset();
    memory_ = Buffer(device_, bytes, "kernels' workspace");
  }
  /// Its beginning.  Where reserve() was not told of so many bytes it grows, after what the stream still does with it.
  void* room(Stream& stream, int64_t bytes) {
    if (memory_.bytes() < bytes) {
      stream.synchronize();
      reserve(bytes);
    }
    return memory_.data();
  }
  int64_t bytes() const { return memory_.bytes(); }
  Device& device() const { return device_; }

 private:
  Device& device_;
  Buffer memory_;
};

}  // namespace tessera
