#pragma once
#include <functional>
#include <set>
#include <vector>

#include "kernels/cuda/attention_graph.h"

namespace tessera::test {

/// Attention by loops in double that read a description as cuDNN's documentation defines it, document by document.
/// Places that nobody asked to be written are written as cuDNN may: a padded document's rows behind its end.
class PlainGraphs final : public AttentionGraphs {
 public:
  /// refuses(description): why, or empty.
  using Refusal = std::function<std::string(const AttentionDescription&)>;
  explicit PlainGraphs(Refusal refuses = nullptr, std::vector<AttentionDescription>* built = nullptr)
      : refuses_(std::move(refuses)), built_(built) {}

  std::unique_ptr<AttentionGraph> build(const AttentionDescription& description) override;

 private:
  Refusal refuses_;
  std::vector<AttentionDescription>* built_;  ///< what was asked for, in order; may be null
};

}  // namespace tessera::test
