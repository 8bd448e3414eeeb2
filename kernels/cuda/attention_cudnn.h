#pragma once
#include <cudnn.h>

#include <map>
#include <memory>
#include <set>
#include <string>

#include "device/cuda/cuda_device.h"
#include "kernels/cuda/attention_graph.h"
#include "kernels/cuda/attention_library.h"
#include "kernels/cuda/workspace.h"

namespace tessera {

struct CudnnAttentionSettings {
  /// The backward pass's sums in a fixed order.  On Hopper that costs memory (attention_score_bytes) and time; without
  /// it dq is summed by atomic additions, and two runs differ in the last bits.
  bool deterministic;
  int64_t most_score_bytes = int64_t{2} << 30;  ///< of one group of documents (attention_groups)
};

/// Attention by cuDNN's fused kernels (Dao 2023, FlashAttention-2, by their documentation), on one compute stream.  A
/// graph is built, or declined, when its bucket is met first; its memory is part of the workspace, and all of it was
/// reserved then if the job's largest shapes were announced.
class CudnnAttention final : public AttentionLibrary {
 public:
  CudnnAttention(std::shared_ptr<Workspace> workspace, CudnnAttentionSettings settings);
  ~CudnnAttention() override;

  int64_t announce(const LargestShapes& largest) override;
  bool forward(Stream& stream, const Kernels::AttentionShape& shape, ConstView q, ConstView k, ConstView v, View out,
               float* log_sum_exp) override;
  bool backward(Stream& stream, const Kernels::AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                ConstView out, const float* log_sum_exp, ConstView dout, View dq, View dk, View dv) override;

 private:
  struct Pointers;
  struct Call;

  bool declined(const std::string& what, const std::string& why);
  AttentionGraph* graph(const AttentionDescription& description);
  AttentionGraph* accepted(const AttentionDescription& description);
  /// Tells cuDNN of the group's documents and runs the graph.
  void execute(Stream& stream, const Kernels::AttentionShape& shape, const Call& call, const Pointers& tensors);
  void run_backward(Stream& stream, const Kernels::AttentionShape& shape, const Call& call, Pointers tensors, View dk,
                    View dv);

  std::shared_ptr<Workspace> workspace_;
  CudnnAttentionSettings settings_;
  AttentionLimits limits_;
  cudnnHandle_t handle_ = nullptr;
  std::map<AttentionDescription, std::unique_ptr<AttentionGraph>> graphs_;
  std::set<std::string> told_;  // why it declined
};

/// cuDNN's library; throws ClusterError where it is too old for what is asked of it here, or of another generation.
void check_cudnn_version();

}  // namespace tessera
