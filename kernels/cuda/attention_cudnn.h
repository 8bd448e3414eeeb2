#pragma once
#include <cudnn.h>

#include <memory>
#include <string>

#include "kernels/cuda/attention_graph.h"

namespace tessera {

/// cuDNN's SDPA for the GPU that is in use.  Throws ClusterError where the library is too old for what is asked of it
/// here, or of another generation.
class CudnnGraphs final : public AttentionGraphs {
 public:
  CudnnGraphs();
  ~CudnnGraphs() override;

  std::string identity() const override;

  std::unique_ptr<AttentionGraph> build(const AttentionDescription& description) override;

 private:
  cudnnHandle_t handle_ = nullptr;
};

/// A GPU that need not be here, as cuDNN is told of it.
struct DescribedGpu {
  int compute_capability;  ///< 90: 9.0
  std::string properties;  ///< JSON: CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION
};

/// cuDNN's answer for such a GPU: it compiles as it would there, but the graph cannot run.
std::unique_ptr<AttentionGraph> build_cudnn_graph(const AttentionDescription& description, const DescribedGpu& gpu);

/// Throws as CudnnGraphs() does.
void check_cudnn_version();

}  // namespace tessera
