#include "kernels/cuda/attention_cudnn.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/number.h"
#include "device/cuda/check.h"
#include "kernels/cuda/attention_offsets.h"

namespace tessera {
namespace {

using D = AttentionDescription;

/// 9.6 brought packed statistics and shared key heads for packed documents; 9.10.2 mended sliding windows.
constexpr size_t oldest_version = 91002;

void check(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS) throw ClusterError("cuDNN: {}: {}", what, cudnnGetErrorString(status));
}

std::string version_in_words(size_t version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

void copy_rows(Stream& stream, const View& from, const View& to) {
  const auto bytes = [](const View& view, int64_t elements) {
    return static_cast<size_t>(elements * size_of(view.dtype));
  };
  cuda::check(cudaMemcpy2DAsync(to.data, bytes(to, to.row_stride), from.data, bytes(from, from.row_stride),
                                bytes(from, from.cols), static_cast<size_t>(from.rows), cudaMemcpyDeviceToDevice,
                                cuda_stream(stream)),
              "copying the gradients of keys and values");
}

}  // namespace

void check_cudnn_version() {
  const size_t version = cudnnGetVersion();
  if (version >= oldest_version && version / 10000 == CUDNN_MAJOR) return;
  throw ClusterError(
      "cuDNN {} is installed, {} or newer of cuDNN {} is needed; install it, or set LD_LIBRARY_PATH to it",
      version_in_words(version), version_in_words(oldest_version), CUDNN_MAJOR);
}

struct CudnnAttention::Pointers {
  std::array<const void*, D::roles> tensors{};
};

/// One group of documents, by the graph of its bucket.
struct CudnnAttention::Call {
  const AttentionGraph* graph;
  AttentionGroup group;
};

CudnnAttention::CudnnAttention(std::shared_ptr<Workspace> workspace, CudnnAttentionSettings settings)
    : workspace_(std::move(workspace)), settings_(settings), limits_{0, settings.most_score_bytes} {
  check_cudnn_version();
  check(cudnnCreate(&handle_), "starting");
}

CudnnAttention::~CudnnAttention() {
  graphs_.clear();
  cudnnDestroy(handle_);
}

bool CudnnAttention::declined(const std::string& what, const std::string& why) {
  if (told_.insert(why).second) log::info("cuDNN declines {}: {}; slower kernels do it", what, why);
  return false;
}

/// Built when it is asked for first, with what came of it.
AttentionGraph* CudnnAttention::graph(const AttentionDescription& description) {
  std::unique_ptr<AttentionGraph>& found = graphs_[description];
  if (found == nullptr) found = std::make_unique<AttentionGraph>(description, handle_);
  return found.get();
}

/// Null where cuDNN declines.
AttentionGraph* CudnnAttention::accepted(const AttentionDescription& description) {
  AttentionGraph* const found = graph(description);
  if (!found->refusal().empty()) declined(in_words(description), found->refusal());
  return found->refusal().empty() ? found : nullptr;
}

/// Asks the graphs of the largest group how much they take: of q, k and v side by side, as most models have them.
int64_t CudnnAttention::announce(const LargestShapes& s) {
  limits_.tokens = std::max(limits_.tokens, s.T);
  Kernels::AttentionShape shape{};
  shape.H = s.H, shape.G = s.G, shape.D = s.D, shape.scale = 1;
  const ConstView qkv(nullptr, s.dtype, s.T, (s.H + 2 * s.G) * s.D), out(nullptr, s.dtype, s.T, s.H * s.D);
  const ConstView q = qkv.cols_from(0, s.H * s.D), k = qkv.cols_from(q.cols, s.G * s.D),
                  v = qkv.cols_from(q.cols + k.cols, k.cols);
  if (!attention_obstacle(shape, {q, k, v, out}).empty()) return 0;
  const AttentionGroup group = largest_attention_group(shape, s.longest, limits_);
  const auto bytes = [&](const D& description) {
    const AttentionGraph* const found = graph(description);
    return found->refusal().empty() ? found->room().end : 0;
  };
  int64_t most = bytes(describe_attention_forward(shape, group.bucket, q, k, v, out));
  if (s.trains() && group.parts > 0)
    most = std::max(most, bytes(describe_attention_backward(shape, group.bucket, settings_.deterministic, group.parts,
                                                            q, k, v, out, out, q, k, v)));
  return most;
}

void CudnnAttention::execute(Stream& stream, const Kernels::AttentionShape& shape, const Call& call,
                             const Pointers& tensors) {
  const D& d = call.graph->description();
  const int64_t documents = d.bucket.documents, arrays = static_cast<int64_t>(d.offset_strides.size());
  const AttentionRoom room = call.graph->room();
  char* const memory = static_cast<char*>(workspace_->room(stream, room.end));
  auto* const offsets = reinterpret_cast<int64_t*>(memory + room.offsets);
  auto* const lengths = reinterpret_cast<int32_t*>(memory + room.lengths);
  cuda::attention_offsets(cuda_stream(stream), shape.cu_seqlens_on_device + call.group.first, call.group.count,
                          documents, d.offset_strides, offsets, lengths);

  using Graph = AttentionGraph;
  std::unordered_map<int64_t, void*> pointers = {{Graph::query_lengths_uid, lengths},
                                                 {Graph::key_lengths_uid, lengths}};
  for (int64_t i = 0; i < arrays; ++i)
    pointers[Graph::offsets_uid(i)] = offsets + i * attention_offsets_pitch(documents);
  for (int64_t role = 0; role < (d.backward ? D::roles : D::statistics + 1); ++role)
    pointers[Graph::tensor_uid(role)] = const_cast<void*>(tensors.tensors[static_cast<size_t>(role)]);
  check(cudnnSetStream(handle_, cuda_stream(stream)), "choosing a stream");
  call.graph->execute(handle_, pointers, memory + room.library);
}

bool CudnnAttention::forward(Stream& stream, const Kernels::AttentionShape& shape, ConstView q, ConstView k,
                             ConstView v, View out, float* log_sum_exp) {
  if (q.rows == 0) return true;
  if (const std::string why = attention_obstacle(shape, {q, k, v, out}); !why.empty())
    return declined("attention", why);
  std::vector<Call> calls;
  for (const AttentionGroup& group : attention_groups(shape, q.rows, limits_)) {
    calls.push_back({accepted(describe_attention_forward(shape, group.bucket, q, k, v, out)), group});
    if (calls.back().graph == nullptr) return false;
  }
  for (const Call& call : calls) execute(stream, shape, call, {{q.data, k.data, v.data, out.data, log_sum_exp}});
  return true;
}

bool CudnnAttention::backward(Stream& stream, const Kernels::AttentionShape& shape, ConstView q, ConstView k,
                              ConstView v, ConstView out, const float* log_sum_exp, ConstView dout, View dq, View dk,
                              View dv) {
  if (q.rows == 0) return true;
  if (const std::string why = attention_obstacle(shape, {q, k, v, out, dout, dq, dk, dv}); !why.empty())
    return declined("attention", why);
  std::vector<Call> calls;
  for (const AttentionGroup& group : attention_groups(shape, q.rows, limits_)) {
    if (group.parts == 0)
      return declined(fmt::format("the backward pass of a document of {} tokens", group.bucket.longest),
                      "its scores would take too much memory");
    const D wanted = describe_attention_backward(shape, group.bucket, settings_.deterministic, group.parts, q, k, v,
                                                 out, dout, dq, dk, dv);
    calls.push_back({accepted(wanted), group});
    if (calls.back().graph == nullptr) return false;
  }
  for (const Call& call : calls)
    for (int64_t p = 0; p < call.group.parts; ++p) {
      const auto part = [&](const auto& view) { return attention_part(view, p, call.group.parts); };
      run_backward(
          stream, shape, call,
          {{part(q).data, part(k).data, part(v).data, part(out).data, log_sum_exp + p * (shape.H / call.group.parts),
            part(dout).data, part(dq).data, part(dk).data, part(dv).data}},
          part(dk), part(dv));
    }
  return true;
}

/// One part; dk, dv: its views.  Offsets count from the batch's first row, so what was written apart lies there in its
/// rows, and only those of the group are copied.
void CudnnAttention::run_backward(Stream& stream, const Kernels::AttentionShape& shape, const Call& call,
                                  Pointers tensors, View dk, View dv) {
  const D& d = call.graph->description();
  if (!d.key_gradients_apart) return execute(stream, shape, call, tensors);
  const AttentionRoom room = call.graph->room();
  char* const apart = static_cast<char*>(workspace_->room(stream, room.end)) + room.key_gradients;
  const View dk_apart(apart, dk.dtype, dk.rows, dk.cols),
      dv_apart(apart + d.bucket.tokens * dk.cols * size_of(dk.dtype), dv.dtype, dv.rows, dv.cols);
  tensors.tensors[D::dk] = dk_apart.data;
  tensors.tensors[D::dv] = dv_apart.data;
  execute(stream, shape, call, tensors);
  const int64_t begin = shape.cu_seqlens[call.group.first],
                rows = shape.cu_seqlens[call.group.first + call.group.count] - begin;
  copy_rows(stream, dk_apart.rows_from(begin, rows), dk.rows_from(begin, rows));
  copy_rows(stream, dv_apart.rows_from(begin, rows), dv.rows_from(begin, rows));
}

}  // namespace tessera
