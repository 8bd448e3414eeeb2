#pragma once
#include <cudnn.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "kernels/cuda/attention_description.h"

namespace tessera {

/// A GPU that need not be here, as cuDNN is told of it.
struct DescribedGpu {
  int compute_capability;  ///< 90: 9.0
  std::string properties;  ///< JSON: CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION
};

/// One call of cuDNN's SDPA, compiled: an AttentionDescription through cudnn-frontend.  Or why cuDNN has no engine for
/// it.  cuDNN frontend, docs/operations/Attention.md; samples/cpp/sdpa/fp16_fwd.cpp and fp16_bwd.cpp.
class AttentionGraph {
 public:
  /// For the GPU of the handle.
  AttentionGraph(const AttentionDescription& description, cudnnHandle_t handle);
  /// cuDNN answers and compiles as it would there, but the graph cannot run.
  AttentionGraph(const AttentionDescription& description, const DescribedGpu& gpu);
  ~AttentionGraph();
  AttentionGraph(const AttentionGraph&) = delete;
  AttentionGraph& operator=(const AttentionGraph&) = delete;

  const AttentionDescription& description() const { return description_; }
  /// Empty where it can run.
  const std::string& refusal() const { return refusal_; }
  AttentionRoom room() const { return attention_room(description_, workspace_bytes_); }

  /// What a graph knows its tensors by: `role` of the description, array i of offset_strides, and the int32 lengths of
  /// the bucket's documents as queries and as keys.
  static constexpr int64_t tensor_uid(int64_t role) { return 1 + role; }
  static constexpr int64_t offsets_uid(int64_t i) { return 100 + i; }
  static constexpr int64_t query_lengths_uid = 200, key_lengths_uid = 201;

  /// Enqueues it on the handle's stream; device memory by uid, and as a workspace what room() has
  /// for the library.  Throws
  /// ClusterError.
  void execute(cudnnHandle_t handle, std::unordered_map<int64_t, void*>& memory, void* workspace) const;

 private:
  class Draft;

  std::string build(cudnnHandle_t handle);

  AttentionDescription description_;
  std::unique_ptr<Draft> draft_;
  std::string refusal_;
  int64_t workspace_bytes_ = 0;
};

}  // namespace tessera
