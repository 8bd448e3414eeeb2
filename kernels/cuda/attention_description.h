#pragma once
#include <array>
#include <compare>
#include <string>
#include <vector>

#include "base/number.h"
#include "device/view.h"
#include "kernels/kernels.h"

/// Attention as cuDNN's SDPA is asked for it.  Nothing here knows CUDA: strides, offsets and masks are checked on the
/// CPU (test/unit/kernels/attention_description.cpp), where plain loops carry them out too
/// (test/unit/cuda_shim/fused_attention.cpp), and attention_cudnn.cpp copies them field by field.
///
/// cuDNN sees four dimensions: document, head, position, column.  Packed documents are "ragged": document b of a tensor
/// begins at an element that an array on the device tells, and has as many positions as another array tells.
/// cuDNN frontend, docs/operations/Attention.md: "Ragged Layout", "Diagonal masking options".
namespace tessera {

/// What a graph of cuDNN is made for is rounded up, so that few graphs serve all batches.
struct AttentionBucket {
  int64_t documents;  ///< a power of four, or the most of a group; those beyond its own have no positions
  int64_t longest;    ///< a power of two from 128, a tile of queries: tiles beyond a document's end return at once
  int64_t tokens;  ///< bounds the workspace of the backward pass: the job's largest batch, or a power of two above it

  auto operator<=>(const AttentionBucket&) const = default;
};

/// Consecutive documents of a batch that one call of cuDNN serves, or `parts` calls with a share of the heads each.
struct AttentionGroup {
  int64_t first, count;
  AttentionBucket bucket;
  int64_t parts;  ///< 0: there is no number of them that `score_bytes` allows

  auto operator<=>(const AttentionGroup&) const = default;
};

/// What a job allows cuDNN.
struct AttentionLimits {
  int64_t tokens = 0;       ///< of the largest batch; 0: nobody has said, each batch is the largest
  int64_t score_bytes = 0;  ///< of one group: see attention_score_bytes
};

/// The deterministic backward pass of Hopper keeps the scores' gradient: documents · heads · longest² numbers in bf16,
/// most of them of tiles that no document reaches.  This is nearly all of its workspace.
constexpr int64_t attention_score_bytes(const AttentionBucket& bucket, int64_t heads) {
  return bucket.documents * heads * bucket.longest * bucket.longest * 2;
}

/// The documents of a batch, cut so that long and short ones are apart and so that the scores of none take more than
/// the limit: a group of length `longest` has tokens / longest places.  In a batch whose documents are sorted by
/// length, as device_batch.cpp makes them, groups are few, and so are the buckets of a run: for each length the groups
/// that are full, and for those that are not one bucket for each power of four.  A single document whose scores are too
/// many is given its heads in parts; where key heads are too few for that, up to four times the limit is allowed.
std::vector<AttentionGroup> attention_groups(const AttentionShape& shape, int64_t tokens,
                                             const AttentionLimits& limits);

/// The group of the largest scores that any batch of a job can have, with documents of at most `longest`.
AttentionGroup largest_attention_group(const AttentionShape& shape, int64_t longest, const AttentionLimits& limits);

struct AttentionTensor {
  std::array<int64_t, 4> dim{}, stride{};  ///< document, head, position, column; stride[0] is not used: offsets tell it
  int offsets = 0;                         ///< which array tells where documents begin: an index of offset_strides

  auto operator<=>(const AttentionTensor&) const = default;
};

struct AttentionDescription {
  enum Role { q, k, v, out, statistics, dout, dq, dk, dv, roles };  ///< up to `statistics` for the forward pass

  AttentionBucket bucket{};
  bool backward = false;
  bool deterministic = false;  ///< of the backward pass; the forward pass is so anyway
  float scale = 0;             ///< multiplies q·k
  /// Position i sees j where i - left_bound < j <= i + right_bound, counted from the document's begin ("top left").
  /// left_bound 0: no bound.
  int64_t left_bound = 0, right_bound = 0;
  /// bf16, but `statistics` fp32: the natural logarithm of Σ exp(score), as log_sum_exp is.
  std::array<AttentionTensor, roles> tensors{};
  /// Array i on the device holds cu_seqlens[b] * offset_strides[i] for b = 0 … bucket.documents: elements, int64.
  std::vector<int64_t> offset_strides;
  /// dk and dv go to contiguous memory of [tokens, G·D] and are copied from there.  Where several query heads share
  /// one, cuDNN makes every head's gradient in a workspace with dk's stride times H/G: for a slice of dq, dk and dv
  /// together that is mostly gaps.
  bool key_gradients_apart = false;
  /// Every document has `longest` positions of its own in a copy, zeros behind its end, and no offsets: what cuDNN
  /// computes on GPUs before Hopper, where it has no deterministic backward pass of packed documents.
  bool padded = false;

  /// One of as many calls, each for a share of the heads: what a workspace of all at once would not be granted for.
  /// This describes the first share; the others lie further right in every tensor (attention_part).
  int64_t parts = 1;

  const AttentionTensor& operator[](Role role) const { return tensors[role]; }
  int64_t roles_used() const { return backward ? roles : statistics + 1; }
  /// The call works on a copy of the tensor, in the workspace.
  bool copied(int64_t role) const { return padded || (key_gradients_apart && (role == dk || role == dv)); }
  auto operator<=>(const AttentionDescription&) const = default;
};

/// Elements from one array of offsets to the next: each is aligned to 16 bytes, as cuDNN expects of every tensor.
constexpr int64_t attention_offsets_pitch(int64_t documents) { return round_up(documents + 1, 2); }

/// Where the parts of the workspace (workspace.h) begin that one call uses, and what it takes in all: bytes.
struct AttentionRoom {
  int64_t offsets, lengths, library, end;
  std::array<int64_t, AttentionDescription::roles> copies;  ///< of the roles that are copied()
};

/// library_bytes: what the graph takes.
AttentionRoom attention_room(const AttentionDescription& description, int64_t library_bytes);

/// Why cuDNN is not asked, or empty: no soft cap, bf16, head widths 64 … 256 in eights, everything aligned to 16 bytes.
std::string attention_obstacle(const AttentionShape& shape, const std::vector<ConstView>& views);

/// The views must have no obstacle.
AttentionDescription describe_attention_forward(const AttentionShape& shape, const AttentionBucket& bucket, ConstView q,
                                                ConstView k, ConstView v, ConstView out);
AttentionDescription describe_attention_backward(const AttentionShape& shape, const AttentionBucket& bucket,
                                                 bool deterministic, int64_t parts, ConstView q, ConstView k,
                                                 ConstView v, ConstView out, ConstView dout, ConstView dq, ConstView dk,
                                                 ConstView dv);

/// Padded: [documents, longest, heads · width] with each tensor contiguous, statistics [documents, heads, longest].
AttentionDescription describe_attention_backward_padded(const AttentionShape& shape, const AttentionBucket& bucket,
                                                        bool deterministic, int64_t parts);

/// Share `part` of the heads of a [T, heads · D] view.
template <typename Pointer>
BasicView<Pointer> attention_part(const BasicView<Pointer>& view, int64_t part, int64_t parts) {
  return view.cols_from(part * (view.cols / parts), view.cols / parts);
}

/// The fewest parts, at least `wanted`, that the heads can be shared out in: key heads evenly, and statistics aligned
/// to 16 bytes.  0: there is no such number.
int64_t attention_parts(const AttentionShape& shape, int64_t wanted);

/// "attention_backward of at most 8 documents of at most 1024 tokens, 32 query and 8 key heads of 128": for the log.
std::string in_words(const AttentionDescription& description);

}  // namespace tessera
