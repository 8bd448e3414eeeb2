#pragma once
#include <cudnn.h>

#include <map>
#include <memory>
#include <set>
#include <string>

#include "device/buffer.h"
#include "device/cuda/cuda_device.h"
#include "kernels/cuda/attention_description.h"
#include "kernels/cuda/attention_library.h"

namespace tessera {

struct CudnnAttentionSettings {
  /// The backward pass's sums in a fixed order.  On Hopper that costs a workspace of documents · H · longest² · 2 bytes
  /// of their bucket, and time; without it dq is summed by atomic additions, and two runs differ in the last bits.
  bool deterministic;
  /// Where a graph wants a larger workspace, its heads are shared out over several calls; where that does not help
  /// either, own kernels take over.
  int64_t most_workspace_bytes = int64_t{2} << 30;
};

/// Attention by cuDNN's fused kernels (Dao 2023, FlashAttention-2, by their documentation).  For one compute stream:
/// the workspace and what is told of a batch's documents are used by one call at a time.  A graph is built, or
/// declined, when its bucket is met first; memory grows then, and stays as it is once a job has met its buckets.
class CudnnAttention final : public AttentionLibrary {
 public:
  /// Throws ClusterError where cuDNN is missing parts of what is asked for, by its version.
  CudnnAttention(CudaDevice& device, CudnnAttentionSettings settings);
  ~CudnnAttention() override;

  void reserve(int64_t tokens) override;
  bool forward(Stream& stream, const Kernels::AttentionShape& shape, ConstView q, ConstView k, ConstView v, View out,
               float* log_sum_exp) override;
  bool backward(Stream& stream, const Kernels::AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                ConstView out, const float* log_sum_exp, ConstView dout, View dq, View dk, View dv) override;

 private:
  class Graph;
  struct Pointers;

  bool declined(const std::string& what, const std::string& why);
  Graph* graph(const AttentionDescription& description);
  Graph* accepted(const AttentionDescription& description);
  template <typename Describe>
  Graph* graph_in_parts(const Kernels::AttentionShape& shape, const Describe& describe);
  void run_backward(Stream& stream, const Kernels::AttentionShape& shape, const Graph& graph, Pointers tensors, View dk,
                    View dv);
  void execute(Stream& stream, const Kernels::AttentionShape& shape, const Graph& graph, const Pointers& tensors);
  void* room(Stream& stream, Buffer& buffer, int64_t bytes, const char* what);

  CudaDevice& device_;
  CudnnAttentionSettings settings_;
  int64_t tokens_reserved_ = 0;
  cudnnHandle_t handle_ = nullptr;
  std::map<AttentionDescription, std::unique_ptr<Graph>> graphs_;
  std::set<std::string> told_;  // why it declined
  Buffer workspace_, documents_, key_gradients_;
};

}  // namespace tessera
