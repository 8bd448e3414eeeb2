#pragma once
#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernels/cuda/attention_graph.h"
#include "kernels/cuda/attention_padding.h"
#include "kernels/cuda/workspace.h"
#include "kernels/kernels.h"

namespace tessera {

struct FusedAttentionSettings {
  /// The backward pass's sums in a fixed order.  On Hopper that costs memory (attention_score_bytes) and time; without
  /// it dq is summed by atomic additions, and two runs differ in the last bits.
  bool deterministic = true;
  int64_t most_score_bytes = int64_t{2} << 30;  ///< of one group of documents (attention_groups)
};

/// Attention by a library's fused kernels (Dao 2023, FlashAttention-2, by cuDNN's documentation), on one compute
/// stream. The library may decline.  A graph is built, or declined, when its bucket is met first; its memory is part of
/// the workspace, and all of it was reserved then if the job's largest shapes were announced.
class FusedAttention {
 public:
  FusedAttention(std::shared_ptr<Workspace> workspace, std::unique_ptr<AttentionGraphs> library,
                 FusedAttentionSettings settings = {});

  /// No batch will be larger: what depends on its size is the same for every batch then.  Returns how much of the
  /// workspace (workspace.h) its calls will take, 0 where they will be declined.
  int64_t announce(const LargestShapes& largest);

  /// kernels.h's attention_forward and attention_backward; `shape` has cu_seqlens on the device too.  False: the
  /// library declines and nothing was enqueued; own kernels are to do it.  The log says why, once for each reason.
  /// Statistics are the same, so one pass may be the library's and the other one's own.
  bool forward(Stream& stream, const Kernels::AttentionShape& shape, ConstView q, ConstView k, ConstView v, View out,
               float* log_sum_exp);
  bool backward(Stream& stream, const Kernels::AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                ConstView out, const float* log_sum_exp, ConstView dout, View dq, View dk, View dv);

 private:
  /// A graph with what it was made for.
  struct Ready {
    AttentionDescription description;
    std::unique_ptr<AttentionGraph> graph;

    bool usable() const { return graph->refusal().empty(); }
    AttentionRoom room() const { return attention_room(description, graph->workspace_bytes()); }
  };
  /// One group of documents, by the graph of its bucket.
  struct Call {
    const Ready* by;
    AttentionGroup group;
  };
  /// The tensors of a call by role; of statistics [T, H].
  using Tensors = std::array<ConstView, AttentionDescription::roles>;
  struct Placed {
    AttentionPointers pointers;
    Tensors copies;  ///< of the roles that are copied()
    cuda::PaddedDocuments documents;
  };

  bool declined(const std::string& what, const std::string& why);
  const Ready& ready(const AttentionDescription& description);
  const Ready* first_usable(const std::vector<AttentionDescription>& ways);
  std::vector<AttentionDescription> backward_ways(const Kernels::AttentionShape& shape, const AttentionGroup& group,
                                                  const Tensors& tensors) const;
  Placed place(Stream& stream, const Kernels::AttentionShape& shape, const Call& call, const Tensors& tensors);
  void run(Stream& stream, const Kernels::AttentionShape& shape, const Call& call, const Tensors& tensors);
  static void fetch_gradients(cudaStream_t stream, const Kernels::AttentionShape& shape, const Call& call,
                              const Tensors& tensors, const Placed& at);

  std::shared_ptr<Workspace> workspace_;
  std::unique_ptr<AttentionGraphs> library_;
  FusedAttentionSettings settings_;
  AttentionLimits limits_;
  std::map<AttentionDescription, Ready> graphs_;
  std::set<std::string> told_;  // why it declined
};

}  // namespace tessera
