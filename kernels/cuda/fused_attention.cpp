#include "kernels/cuda/fused_attention.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "device/cuda/cuda_device.h"
#include "kernels/cuda/attention_offsets.h"
#include "kernels/cuda/launchers.h"

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
      settings_(settings),
      limits_{0, settings.most_score_bytes} {}

bool FusedAttention::declined(const std::string& what, const std::string& why) {
  if (told_.insert(why).second) log::info("cuDNN declines {}: {}; slower kernels do it", what, why);
  return false;
}

/// Built when it is asked for first, with what came of it.
const FusedAttention::Ready& FusedAttention::ready(const AttentionDescription& description) {
  Ready& found = graphs_[description];
  if (found.graph == nullptr) found = {description, library_->build(description)};
  return found;
}

/// Null where the library declines them all; the log has why it declines the first.
const FusedAttention::Ready* FusedAttention::first_usable(const std::vector<AttentionDescription>& ways) {
  for (const AttentionDescription& way : ways)
    if (const Ready& found = ready(way); found.usable()) return &found;
  declined(in_words(ways.front()), ready(ways.front()).graph->refusal());
  return nullptr;
}

/// How a group's backward pass can be asked for, the best first.
std::vector<AttentionDescription> FusedAttention::backward_ways(const Kernels::AttentionShape& shape,
                                                                const AttentionGroup& group, const Tensors& t) const {
  return {describe_attention_backward(shape, group.bucket, settings_.deterministic, group.parts, t[D::q], t[D::k],
                                      t[D::v], t[D::out], t[D::dout], t[D::dq], t[D::dk], t[D::dv]),
          describe_attention_backward_padded(shape, group.bucket, settings_.deterministic, group.parts)};
}

/// Asks the graphs of the largest group how much they take: of q, k and v side by side, as most models have them.
int64_t FusedAttention::announce(const LargestShapes& s) {
  limits_.tokens = std::max(limits_.tokens, s.T);
  Kernels::AttentionShape shape{};
  shape.H = s.H, shape.G = s.G, shape.D = s.D, shape.scale = 1;
  const ConstView qkv(nullptr, s.dtype, s.T, (s.H + 2 * s.G) * s.D), out(nullptr, s.dtype, s.T, s.H * s.D);
  const ConstView q = qkv.cols_from(0, s.H * s.D), k = qkv.cols_from(q.cols, s.G * s.D),
                  v = qkv.cols_from(q.cols + k.cols, k.cols);
  if (!attention_obstacle(shape, {q, k, v, out}).empty()) return 0;
  const AttentionGroup group = largest_attention_group(shape, s.longest, limits_);
  const auto bytes = [&](const std::vector<AttentionDescription>& ways) {
    const Ready* const found = first_usable(ways);
    return found == nullptr ? 0 : found->room().end;
  };
  int64_t most = bytes({describe_attention_forward(shape, group.bucket, q, k, v, out)});
  if (s.trains() && group.parts > 0)
    most = std::max(most, bytes(backward_ways(shape, group, {q, k, v, out, ConstView(), out, q, k, v})));
  return most;
}

bool FusedAttention::forward(Stream& stream, const Kernels::AttentionShape& shape, ConstView q, ConstView k,
                             ConstView v, View out, float* log_sum_exp) {
  if (q.rows == 0) return true;
  if (const std::string why = attention_obstacle(shape, {q, k, v, out}); !why.empty())
    return declined("attention", why);
  std::vector<Call> calls;
  for (const AttentionGroup& group : attention_groups(shape, q.rows, limits_)) {
    calls.push_back({first_usable({describe_attention_forward(shape, group.bucket, q, k, v, out)}), group});
    if (calls.back().by == nullptr) return false;
  }
  for (const Call& call : calls)
    run(stream, shape, call, {q, k, v, out, statistics_view(log_sum_exp, q.rows, shape.H)});
  return true;
}

bool FusedAttention::backward(Stream& stream, const Kernels::AttentionShape& shape, ConstView q, ConstView k,
                              ConstView v, ConstView out, const float* log_sum_exp, ConstView dout, View dq, View dk,
                              View dv) {
  if (q.rows == 0) return true;
  if (const std::string why = attention_obstacle(shape, {q, k, v, out, dout, dq, dk, dv}); !why.empty())
    return declined("attention", why);
  const Tensors all = {q, k, v, out, statistics_view(log_sum_exp, q.rows, shape.H), dout, dq, dk, dv};
  std::vector<Call> calls;
  for (const AttentionGroup& group : attention_groups(shape, q.rows, limits_)) {
    if (group.parts == 0)
      return declined(fmt::format("the backward pass of a document of {} tokens", group.bucket.longest),
                      "its scores would take too much memory");
    calls.push_back({first_usable(backward_ways(shape, group, all)), group});
    if (calls.back().by == nullptr) return false;
  }
  for (const Call& call : calls)
    for (int64_t p = 0; p < call.group.parts; ++p) {
      Tensors part = all;
      for (ConstView& view : part) view = attention_part(view, p, call.group.parts);
      run(stream, shape, call, part);
    }
  return true;
}

/// Where a call finds its tensors: the caller's, or copies in the workspace.
FusedAttention::Placed FusedAttention::place(Stream& stream, const Kernels::AttentionShape& shape, const Call& call,
                                             const Tensors& tensors) {
  const D& d = call.by->description;
  const AttentionRoom room = call.by->room();
  char* const memory = static_cast<char*>(workspace_->room(stream, room.end));
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

void FusedAttention::run(Stream& stream, const Kernels::AttentionShape& shape, const Call& call,
                         const Tensors& tensors) {
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
void FusedAttention::fetch_gradients(cudaStream_t on, const Kernels::AttentionShape& shape, const Call& call,
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
