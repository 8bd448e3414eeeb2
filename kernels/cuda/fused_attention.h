#pragma once
#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/attention_graph.h"
#include "kernels/cuda/attention_padding.h"
#include "kernels/cuda/attention_trial.h"
#include "kernels/cuda/workspace.h"
#include "kernels/kernels.h"

namespace tessera {

struct FusedAttentionSettings {
  /// The backward pass's sums in a fixed order.  On Hopper that costs memory (attention_score_bytes) and time; without
  /// it dq is summed by atomic additions, and two runs differ in the last bits.
  bool deterministic = true;
  int64_t most_score_bytes = int64_t{2} << 30;  ///< of one group of documents (attention_groups)
  bool trusts_library = false;          ///< its answers are not compared with our own kernels' before they are used
  std::filesystem::path verdicts = {};  ///< where what came of that is kept (verdict_folder()); empty: nowhere
};

/// Attention by a library's fused kernels (Dao 2023, FlashAttention-2, by cuDNN's documentation), on one compute
/// stream. The library may decline, and what it computes wrongly on this GPU is not asked of it.  A graph is built, or
/// declined, when its bucket is met first; its memory is part of the workspace, and all of it was reserved then if the
/// job's largest shapes were announced.
class FusedAttention {
 public:
  FusedAttention(std::shared_ptr<Workspace> workspace, std::unique_ptr<AttentionGraphs> library,
                 FusedAttentionSettings settings = {});

  /// No batch will be larger: what depends on its size is the same for every batch then.  Returns how much of the
  /// workspace (workspace.h) its calls will take, 0 where they will be declined.  Compares the library's answers with
  /// our own kernels' where no verdict about this GPU and library is kept yet, in memory that it gives back.
  int64_t announce(const LargestShapes& largest);

  /// Every way that `batches` differ in, "dq of a document of 192 tokens …" by the way's name; for a test of a GPU.
  std::vector<std::string> differences(const AttentionForm& form, const std::vector<AttentionBatch>& batches);

  /// AttentionKernels' forward and backward; `shape` has cu_seqlens on the device too.  False: the
  /// library declines and nothing was enqueued; own kernels are to do it.  The log says why, once for each reason.
  /// Statistics are the same, so one pass may be the library's and the other one's own.
  bool forward(Stream& stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v, View out,
               float* log_sum_exp);
  bool backward(Stream& stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v, ConstView out,
                const float* log_sum_exp, ConstView dout, View dq, View dk, View dv);

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
  using Tensors = AttentionTensors;
  struct Placed {
    AttentionPointers pointers;
    Tensors copies;  ///< of the roles that are copied()
    cuda::PaddedDocuments documents;
  };

  bool declined(const std::string& what, const std::string& why);
  const Ready& ready(const AttentionDescription& description);
  AttentionDescription describe(AttentionWay way, const AttentionShape& shape, const AttentionGroup& group,
                                const Tensors& tensors) const;
  const Ready* first_usable(const std::vector<AttentionWay>& ways, const AttentionShape& shape,
                            const AttentionGroup& group, const Tensors& tensors);
  bool run(const std::vector<AttentionWay>& ways, Stream& stream, const AttentionShape& shape, const Tensors& tensors);
  void check(const LargestShapes& largest, const AttentionForm& form);
  bool agrees(AttentionWay way, const AttentionForm& form, AttentionTrials& trials);
  std::optional<std::string> difference(AttentionWay way, AttentionTrial& trial);
  Placed place(Stream& stream, const AttentionShape& shape, const Call& call, const Tensors& tensors);
  void run(Stream& stream, const AttentionShape& shape, const Call& call, const Tensors& tensors);
  static void fetch_gradients(cudaStream_t stream, const AttentionShape& shape, const Call& call,
                              const Tensors& tensors, const Placed& at);

  std::shared_ptr<Workspace> workspace_;
  std::unique_ptr<AttentionGraphs> library_;
  FusedAttentionSettings settings_;
  AttentionLimits limits_;
  std::map<AttentionDescription, Ready> graphs_;
  std::set<std::string> told_;                                           // why it declined
  std::map<std::pair<AttentionForm, AttentionWay>, std::string> wrong_;  // what differs
  /// While the library is compared with our own kernels: in a workspace of its own that is full of NaN, whatever is
  /// known to be wrong, and without a word about what it declines.
  class InTrial;
  bool in_trial_ = false;
};

}  // namespace tessera
