#include "kernels/cuda/fused_attention.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.h"
#include "device/cuda/check.h"
#include "device/cuda/cuda_device.h"
#include "kernels/cuda/attention_offsets.h"
#include "kernels/cuda/attention_verdicts.h"
#include "kernels/cuda/memory.h"

namespace tessera {
namespace {

using D = AttentionDescription;

/// [T, H] as they lie.
ConstView statistics_view(const float* log_sum_exp, int64_t T, int64_t H) {
  return ConstView(log_sum_exp, DType::f32, T, H);
}

/// Of a tensor that a call writes.
View writable(const ConstView& view) {
  return {const_cast<void*>(view.data), view.dtype, view.rows, view.cols, view.row_stride};
}

}  // namespace

FusedAttention::FusedAttention(std::shared_ptr<Workspace> workspace, std::unique_ptr<AttentionGraphs> library,
                               FusedAttentionSettings settings)
    : workspace_(std::move(workspace)),
      library_(std::move(library)),
      settings_(std::move(settings)),
      limits_{0, settings_.most_score_bytes} {}

bool FusedAttention::declined(const std::string& what, const std::string& why) {
  if (!in_trial_ && told_.insert(why).second) log::info("cuDNN declines {}: {}; slower kernels do it", what, why);
  return false;
}

/// Built when it is asked for first, with what came of it.
const FusedAttention::Ready& FusedAttention::ready(const AttentionDescription& description) {
  Ready& found = graphs_[description];
  if (found.graph == nullptr) found = {description, library_->build(description)};
  return found;
}

AttentionDescription FusedAttention::describe(AttentionWay way, const AttentionShape& shape,
                                              const AttentionGroup& group, const Tensors& t) const {
  switch (way) {
    case AttentionWay::forward:
      return describe_attention_forward(shape, group.bucket, t[D::q], t[D::k], t[D::v], t[D::out]);
    case AttentionWay::backward_packed:
      return describe_attention_backward(shape, group.bucket, settings_.deterministic, group.parts, t[D::q], t[D::k],
                                         t[D::v], t[D::out], t[D::dout], t[D::dq], t[D::dk], t[D::dv]);
    case AttentionWay::backward_padded:
      break;
  }
  return describe_attention_backward_padded(shape, group.bucket, settings_.deterministic, group.parts);
}

/// Null where none of the ways will do; the log has why the first will not.
const FusedAttention::Ready* FusedAttention::first_usable(const std::vector<AttentionWay>& ways,
                                                          const AttentionShape& shape, const AttentionGroup& group,
                                                          const Tensors& tensors) {
  const auto wrong = [&](AttentionWay way) {
    const auto found = wrong_.find({{shape.H, shape.G, shape.D, shape.window}, way});
    return found == wrong_.end() || in_trial_ ? std::string() : found->second;
  };
  for (const AttentionWay way : ways)
    if (wrong(way).empty())
      if (const Ready& found = ready(describe(way, shape, group, tensors)); found.usable()) return &found;
  const AttentionDescription first = describe(ways.front(), shape, group, tensors);
  if (const std::string differs = wrong(ways.front()); differs.empty())
    declined(in_words(first), ready(first).graph->refusal());
  return nullptr;  // what differs was told when it was found
}

/// Asks the graphs of the largest group how much they take: of q, k and v side by side, as most models have them.
int64_t FusedAttention::announce(const LargestShapes& s) {
  limits_.tokens = std::max(limits_.tokens, s.T);
  AttentionShape shape{};
  shape.H = s.H, shape.G = s.G, shape.D = s.D, shape.scale = 1, shape.softcap = s.softcap;
  const ConstView qkv(nullptr, s.dtype, s.T, (s.H + 2 * s.G) * s.D), out(nullptr, s.dtype, s.T, s.H * s.D);
  const ConstView q = qkv.cols_from(0, s.H * s.D), k = qkv.cols_from(q.cols, s.G * s.D),
                  v = qkv.cols_from(q.cols + k.cols, k.cols);
  const Tensors tensors = {q, k, v, out, ConstView(), out, q, k, v};
  if (const std::string why = attention_obstacle(shape, {q, k, v, out}); !why.empty()) {
    declined("attention", why);
    return 0;
  }
  int64_t most = 0;
  for (const int64_t window : s.windows) {
    shape.window = window;
    if (!settings_.trusts_library) check(s, {s.H, s.G, s.D, window});
    const AttentionGroup group = largest_attention_group(shape, s.longest, limits_);
    const auto announce = [&](const std::vector<AttentionWay>& ways) {
      if (const Ready* const found = first_usable(ways, shape, group, tensors))
        most = std::max(most, found->room().end);
    };
    announce({AttentionWay::forward});
    if (s.trains() && group.parts > 0) announce({AttentionWay::backward_packed, AttentionWay::backward_padded});
  }
  return most;
}

bool FusedAttention::forward(Stream& stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                             View out, float* log_sum_exp) {
  if (q.rows == 0) return true;
  if (const std::string why = attention_obstacle(shape, {q, k, v, out}); !why.empty())
    return declined("attention", why);
  return run({AttentionWay::forward}, stream, shape, {q, k, v, out, statistics_view(log_sum_exp, q.rows, shape.H)});
}

bool FusedAttention::backward(Stream& stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                              ConstView out, const float* log_sum_exp, ConstView dout, View dq, View dk, View dv) {
  if (q.rows == 0) return true;
  if (const std::string why = attention_obstacle(shape, {q, k, v, out, dout, dq, dk, dv}); !why.empty())
    return declined("attention", why);
  return run({AttentionWay::backward_packed, AttentionWay::backward_padded}, stream, shape,
             {q, k, v, out, statistics_view(log_sum_exp, q.rows, shape.H), dout, dq, dk, dv});
}

/// One pass by the first of the ways that will do, for each group of documents; false, and nothing enqueued, where a
/// group has none.
bool FusedAttention::run(const std::vector<AttentionWay>& ways, Stream& stream, const AttentionShape& shape,
                         const Tensors& tensors) {
  const bool backward = ways.front() != AttentionWay::forward;
  std::vector<Call> calls;
  for (const AttentionGroup& group : attention_groups(shape, tensors[D::q].rows, limits_)) {
    if (backward && group.parts == 0)
      return declined(fmt::format("the backward pass of a document of {} tokens", group.bucket.longest),
                      "its scores would take too much memory");
    calls.push_back({first_usable(ways, shape, group, tensors), group});
    if (calls.back().by == nullptr) return false;
  }
  for (const Call& call : calls)
    for (int64_t p = 0; p < (backward ? call.group.parts : 1); ++p) {
      Tensors part = tensors;
      if (backward)
        for (ConstView& view : part) view = attention_part(view, p, call.group.parts);
      run(stream, shape, call, part);
    }
  return true;
}

// ---- the check ----

class FusedAttention::InTrial {
 public:
  explicit InTrial(FusedAttention& attention)
      : attention_(attention),
        jobs_(std::exchange(attention.workspace_, std::make_shared<Workspace>(attention.workspace_->device()))) {
    attention_.in_trial_ = true;
  }
  ~InTrial() {
    attention_.in_trial_ = false;
    attention_.workspace_ = jobs_;
  }
  InTrial(const InTrial&) = delete;
  InTrial& operator=(const InTrial&) = delete;

 private:
  FusedAttention& attention_;
  std::shared_ptr<Workspace> jobs_;
};

/// What is wrong goes to `wrong_`.  Documents are copied to one length only where the library does not do without.
void FusedAttention::check(const LargestShapes& s, const AttentionForm& form) {
  AttentionTrials trials(workspace_->device(), form, short_attention_batches(form, s.longest, s.T));
  agrees(AttentionWay::forward, form, trials);
  if (s.trains() && !agrees(AttentionWay::backward_packed, form, trials))
    agrees(AttentionWay::backward_padded, form, trials);
}

/// By the verdict that this host has kept, or the trials now.  False also where the library declines.
bool FusedAttention::agrees(AttentionWay way, const AttentionForm& form, AttentionTrials& trials) {
  const AttentionVerdicts verdicts(settings_.verdicts, library_->identity());
  const std::string question = in_words(form, way, settings_.deterministic);
  std::optional<std::string> found = verdicts.find(question);
  if (!found) {
    for (size_t i = 0; i < trials.size() && (!found || found->empty()); ++i) {
      found = difference(way, trials[i]);
      if (!found) return false;
    }
    verdicts.keep(question, *found);
    if (found->empty()) log::info("{} agrees with our own kernels: {}", library_->identity(), question);
  }
  if (found->empty()) return true;
  log::warn("{} is wrong: {}: {}; slower kernels of our own do it", library_->identity(), question, *found);
  wrong_[{form, way}] = *found;
  return false;
}

/// Nothing where the library declines.
std::optional<std::string> FusedAttention::difference(AttentionWay way, AttentionTrial& trial) {
  const InTrial in_trial(*this);
  if (!run({way}, trial.stream(), trial.shape(), trial.tensors(way))) return std::nullopt;
  return trial.difference(way);
}

std::vector<std::string> FusedAttention::differences(const AttentionForm& form,
                                                     const std::vector<AttentionBatch>& batches) {
  std::vector<std::string> all;
  AttentionTrials trials(workspace_->device(), form, batches);
  for (size_t i = 0; i < trials.size(); ++i) {
    for (const AttentionWay way : {AttentionWay::forward, AttentionWay::backward_packed, AttentionWay::backward_padded})
      if (const auto found = difference(way, trials[i]); found && !found->empty())
        all.push_back(
            fmt::format("{}, {}: {}", in_words(form, way, settings_.deterministic), in_words(trials.batch(i)), *found));
    trials.forget(i);
  }
  return all;
}

// ---- a call ----

/// Where a call finds its tensors: the caller's, or copies in the workspace.
FusedAttention::Placed FusedAttention::place(Stream& stream, const AttentionShape& shape, const Call& call,
                                             const Tensors& tensors) {
  const D& d = call.by->description;
  const AttentionRoom room = call.by->room();
  char* const memory = static_cast<char*>(workspace_->room(stream, room.end));
  if (in_trial_) cuda::check(cudaMemsetAsync(memory, 0xff, static_cast<size_t>(room.end), cuda_stream(stream)), "NaN");
  Placed placed{
      {{},
       reinterpret_cast<int64_t*>(memory + room.offsets),
       reinterpret_cast<int32_t*>(memory + room.lengths),
       memory + room.library},
      {},
      {shape.cu_seqlens_on_device + call.group.first, call.group.count, d.bucket.documents, d.bucket.longest}};
  for (int64_t role = 0; role < d.roles_used(); ++role) {
    const auto i = static_cast<size_t>(role);
    if (d.copied(role))
      placed.copies[i] = ConstView(memory + room.copies[i], tensors[i].dtype, d.bucket.tokens, tensors[i].cols);
    placed.pointers.tensors[i] = const_cast<void*>(d.copied(role) ? placed.copies[i].data : tensors[i].data);
  }
  return placed;
}

void FusedAttention::run(Stream& stream, const AttentionShape& shape, const Call& call, const Tensors& tensors) {
  const D& d = call.by->description;
  const Placed at = place(stream, shape, call, tensors);
  const cudaStream_t on = cuda_stream(stream);
  cuda::attention_offsets(on, at.documents.cu_seqlens, call.group.count, d.bucket.documents, d.offset_strides,
                          at.pointers.offsets, at.pointers.lengths);
  if (d.padded) {
    for (const D::Role role : {D::q, D::k, D::v, D::out, D::dout})
      cuda::pad_documents(on, at.documents, tensors[role], writable(at.copies[role]));
    cuda::pad_statistics(on, at.documents, tensors[D::statistics],
                         static_cast<float*>(at.pointers.tensors[D::statistics]));
  }
  call.by->graph->execute(stream, at.pointers);
  if (d.backward) fetch_gradients(on, shape, call, tensors, at);
}

/// Offsets count from the batch's first row, so what is copied but not padded lies in the batch's rows.
void FusedAttention::fetch_gradients(cudaStream_t on, const AttentionShape& shape, const Call& call,
                                     const Tensors& tensors, const Placed& at) {
  const D& d = call.by->description;
  const int64_t begin = shape.cu_seqlens[call.group.first],
                rows = shape.cu_seqlens[call.group.first + call.group.count] - begin;
  for (const D::Role role : {D::dq, D::dk, D::dv}) {
    if (!d.copied(role)) continue;
    const View to = writable(tensors[role]);
    if (d.padded)
      cuda::unpad_documents(on, at.documents, at.copies[role], to);
    else
      cuda::cast(on, at.copies[role].rows_from(begin, rows), to.rows_from(begin, rows));
  }
}

}  // namespace tessera
