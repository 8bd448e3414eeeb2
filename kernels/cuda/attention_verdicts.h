#pragma once
#include <filesystem>
#include <optional>
#include <string>

namespace tessera {

/// What came of comparing a library's kernels with our own, kept on a host so that only the first job there compares: a
/// file for each question about a library on a GPU.  Ranks may ask and keep at the same time.
class AttentionVerdicts {
 public:
  /// `library`: AttentionGraphs::identity().  An empty folder keeps nothing.
  AttentionVerdicts(std::filesystem::path folder, std::string library);

  /// Empty: no difference.  Nothing where the question was not answered on this host yet.
  std::optional<std::string> find(const std::string& question) const;
  /// Where the folder cannot be written to, the next job compares again.
  void keep(const std::string& question, const std::string& difference) const;

 private:
  std::filesystem::path file_of(const std::string& question) const;

  std::filesystem::path folder_;
  std::string library_;
};

/// $XDG_CACHE_HOME/tessera, or ~/.cache/tessera; empty where the environment has neither.
std::filesystem::path verdict_folder();

}  // namespace tessera
