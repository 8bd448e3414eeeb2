#pragma once
#include <cstdint>
#include <vector>

namespace tessera {

constexpr int32_t ignored_label = -100;

/// What a rank computes at once: whole documents, flat, never padded.  T may be 0.
struct Batch {
  std::vector<int32_t> tokens;            ///< [T]
  std::vector<int32_t> targets;           ///< [T] shifted inside each document: the next token, or ignored_label
  std::vector<int32_t> positions;         ///< [T] from 0 in each document
  std::vector<int32_t> sample_of;         ///< [T] number of the sample in its set
  std::vector<int32_t> cu_seqlens = {0};  ///< [N+1]
  int64_t supervised = 0;                 ///< targets that carry loss
  int64_t samples = 0;                    ///< N, or fewer where a sample was split

  int64_t size() const { return static_cast<int64_t>(tokens.size()); }
  int64_t documents() const { return static_cast<int64_t>(cu_seqlens.size()) - 1; }
};

}  // namespace tessera
