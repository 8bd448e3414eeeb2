#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "device/device.h"
#include "kernels/cuda/attention_description.h"

namespace tessera {

/// Where a call's tensors lie on the device.
struct AttentionPointers {
  std::array<void*, AttentionDescription::roles> tensors;  ///< by role
  int64_t* offsets;  ///< [offset_strides.size()][attention_offsets_pitch(documents)]
  int32_t* lengths;  ///< [documents]: the positions of each
  void* workspace;   ///< of workspace_bytes()
};

/// One AttentionDescription, made ready by a library, or why the library declines it.
class AttentionGraph {
 public:
  virtual ~AttentionGraph() = default;

  /// Empty where it can run.
  virtual const std::string& refusal() const = 0;
  virtual int64_t workspace_bytes() const = 0;
  /// Enqueues it: what it reads and writes is in use until the stream passes.  Throws ClusterError.
  virtual void execute(Stream& stream, const AttentionPointers& pointers) = 0;
};

/// Attention by a library: cuDNN on a GPU (attention_cudnn.h), plain loops on the CPU (test/cuda_shim).
class AttentionGraphs {
 public:
  virtual ~AttentionGraphs() = default;

  /// "cuDNN 9.19.0 on 9.0": what decides how its kernels compute.
  virtual std::string identity() const = 0;
  /// Takes long; the graph must not outlive what made it.
  virtual std::unique_ptr<AttentionGraph> build(const AttentionDescription& description) = 0;
};

}  // namespace tessera
