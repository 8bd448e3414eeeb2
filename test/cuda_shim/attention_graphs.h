#pragma once
#include <functional>
#include <set>
#include <vector>

#include "kernels/cuda/attention_graph.h"

namespace tessera::test {

/// What libraries have computed wrongly, for the loops to play.
enum class Fault {
  none,
  nan_of_packed_gradients,  ///< NVIDIA/TransformerEngine 2186
  nan_dq_of_deep_scores,    ///< keys 64 modulo 128, log-sum-exp below -88: NVIDIA/cudnn-frontend 628
  nan_of_one_query,         ///< with a negative log-sum-exp: NVIDIA/cudnn-frontend 1072
  few_key_heads,            ///< fewer than 8: pytorch/pytorch 193893
  dense_statistics,         ///< a ragged tensor read as one without offsets: NVIDIA/TransformerEngine 3249
  reads_workspace,          ///< before it was written
  reads_behind,             ///< rows behind a document's end, times zero
  nan_of_empty_places,      ///< NVIDIA/cudnn-frontend 943
  no_window,
  wrong_output,  ///< of the forward pass, in a tile of its own
};

/// Attention by loops in double that read a description as cuDNN's documentation defines it, document by document.
/// Places that nobody asked to be written are written as cuDNN may: a padded document's rows behind its end.
class PlainGraphs final : public AttentionGraphs {
 public:
  /// refuses(description): why, or empty.
  using Refusal = std::function<std::string(const AttentionDescription&)>;
  explicit PlainGraphs(Refusal refuses = nullptr, std::vector<AttentionDescription>* built = nullptr,
                       Fault fault = Fault::none)
      : refuses_(std::move(refuses)), built_(built), fault_(fault) {}

  std::string identity() const override { return "plain loops"; }
  std::unique_ptr<AttentionGraph> build(const AttentionDescription& description) override;

 private:
  Refusal refuses_;
  std::vector<AttentionDescription>* built_;  ///< what was asked for, in order; may be null
  Fault fault_;
};

}  // namespace tessera::test
