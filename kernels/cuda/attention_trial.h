#pragma once
#include <array>
#include <compare>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "device/buffer.h"
#include "kernels/cuda/attention_description.h"

/// Comparing a library's attention with our own kernels, on batches in which libraries have been wrong.
namespace tessera {

/// What the library's code is chosen by, beside the GPU.
struct AttentionForm {
  int64_t H, G, D, window;

  auto operator<=>(const AttentionForm&) const = default;
};

/// The passes, and how a library can be asked for them.
enum class AttentionWay { forward, backward_packed, backward_padded };

/// "the backward pass of packed documents (deterministic), 32 query and 8 key heads of 128, window 4096"
std::string in_words(const AttentionForm& form, AttentionWay way, bool deterministic);

/// The tensors of a call by role; of statistics [T, H].
using AttentionTensors = std::array<ConstView, AttentionDescription::roles>;

struct AttentionBatch {
  enum class Scores {
    ordinary,  ///< of variance 1/9
    deep       ///< near -120: exp() of one is 0 in fp32 unless the row's largest was subtracted first
  };
  std::vector<int64_t> documents;  ///< their lengths
  Scores scores = Scores::ordinary;
  bool nan_behind = false;  ///< in the spare rows, which are zero otherwise
};

/// "2 documents of at most 192 tokens, deep scores, NaN behind"
std::string in_words(const AttentionBatch& batch);

/// One batch with our own kernels' answers, and room for a library's.
class AttentionTrial {
 public:
  /// Allocates, and waits for the stream.  dtype bf16.
  AttentionTrial(Stream& stream, const AttentionForm& form, const AttentionBatch& batch);

  Stream& stream() const { return stream_; }
  const AttentionShape& shape() const { return shape_; }
  /// What a library is given for the pass.  Its outputs are NaN until it writes them; a backward pass reads our own
  /// `out` and `statistics`.  Forgets what an earlier way has written.
  AttentionTensors tensors(AttentionWay way);
  /// After the library's call on the same stream, for which it waits: "dq of a document of 192 tokens, rows 64 to 79:
  /// NaN", or empty.
  std::string difference(AttentionWay way);

  /// Of the largest difference seen, over the size of the right numbers: a tile of one tensor.
  static constexpr double tolerance = 0.05;

 private:
  struct Answers {
    Buffer out, log_sum_exp, dqkv;
  };

  View q(const Buffer& qkv) const;
  View k(const Buffer& qkv) const;
  View v(const Buffer& qkv) const;
  void fill_inputs(const AttentionBatch& batch);
  void empty_outputs(const Answers& answers) const;
  void run_own_kernels();
  std::string difference(const char* name, const ConstView& found, const ConstView& right) const;

  Stream& stream_;
  int64_t tokens_;
  bool nan_behind_;
  std::vector<int32_t> cu_seqlens_;
  Buffer cu_seqlens_on_device_, qkv_, dout_;
  Answers own_, found_;
  AttentionShape shape_{};
};

/// Batches of one form, with a stream for them; each trial is made when it is asked for first, and serves every way.
class AttentionTrials {
 public:
  AttentionTrials(Device& device, const AttentionForm& form, std::vector<AttentionBatch> batches)
      : device_(device), form_(form), batches_(std::move(batches)), made_(batches_.size()) {}

  size_t size() const { return batches_.size(); }
  const AttentionBatch& batch(size_t i) const { return batches_[i]; }
  AttentionTrial& operator[](size_t i) {
    if (stream_ == nullptr) stream_ = device_.make_stream("attention's check");
    if (made_[i] == nullptr) made_[i] = std::make_unique<AttentionTrial>(*stream_, form_, batches_[i]);
    return *made_[i];
  }
  void forget(size_t i) { made_[i].reset(); }

 private:
  Device& device_;
  AttentionForm form_;
  std::vector<AttentionBatch> batches_;
  std::unique_ptr<Stream> stream_;
  std::vector<std::unique_ptr<AttentionTrial>> made_;
};

/// The batches of the short check that a job makes, with documents of at most `longest` and `tokens` in all: lengths
/// around tiles of 64 and 128, one token, and one long document.
std::vector<AttentionBatch> short_attention_batches(const AttentionForm& form, int64_t longest, int64_t tokens);

/// Those of the full check: also NaN behind the last row, 1 modulo 128 tokens, and every number of documents up to a
/// bucket's places, so that some places are empty.
std::vector<AttentionBatch> all_attention_batches(const AttentionForm& form, int64_t longest, int64_t tokens);

}  // namespace tessera
