#include "kernels/cuda/attention_cudnn.h"

#define CUDNN_FRONTEND_SKIP_JSON_LIB  // serialised graphs, which nobody here has
#include <cudnn_frontend.h>

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/number.h"
#include "device/cuda/check.h"
#include "kernels/cuda/attention_offsets.h"

// cuDNN frontend, docs/operations/Attention.md; samples/cpp/sdpa/fp16_fwd.cpp and fp16_bwd.cpp.
namespace tessera {
namespace {

namespace fe = cudnn_frontend;
using D = AttentionDescription;
using Tensor = std::shared_ptr<fe::graph::Tensor_attributes>;

/// 9.6 brought packed statistics and shared key heads for packed documents; 9.10.2 mended sliding windows.
constexpr size_t oldest_version = 91002;

/// What a graph knows its tensors by.
constexpr int64_t tensor_uid = 1, offsets_uid = 100, query_lengths_uid = 200, key_lengths_uid = 201;

void check(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS) throw ClusterError("cuDNN: {}: {}", what, cudnnGetErrorString(status));
}

std::string version_in_words(size_t version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

/// Where no engine takes a graph, cuDNN tells of each of them in many lines; the first ones are enough for a log.
std::string in_one_line(std::string text) {
  constexpr size_t enough = 400;
  std::replace(text.begin(), text.end(), '\n', ' ');
  if (text.size() > enough) text.replace(enough, std::string::npos, " ...");
  return text;
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

std::vector<int64_t> list(const std::array<int64_t, 4>& values) { return {values.begin(), values.end()}; }

/// A graph while it is put together.
struct Draft {
  explicit Draft(const D& description) : d(description) {
    graph.set_io_data_type(fe::DataType_t::BFLOAT16)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
    for (size_t i = 0; i < d.offset_strides.size(); ++i)
      offsets.push_back(array(offsets_uid + static_cast<int64_t>(i), d.bucket.documents + 1, fe::DataType_t::INT64));
    query_lengths = array(query_lengths_uid, d.bucket.documents, fe::DataType_t::INT32);
    key_lengths = array(key_lengths_uid, d.bucket.documents, fe::DataType_t::INT32);
  }

  Tensor array(int64_t uid, int64_t count, fe::DataType_t type) {
    return graph.tensor(fe::graph::Tensor_attributes()
                            .set_uid(uid)
                            .set_dim({count, 1, 1, 1})
                            .set_stride({1, 1, 1, 1})
                            .set_data_type(type));
  }
  Tensor input(D::Role role) {
    Tensor tensor =
        graph.tensor(fe::graph::Tensor_attributes().set_dim(list(d[role].dim)).set_stride(list(d[role].stride)));
    complete(role, tensor);
    return tensor;
  }
  void output(D::Role role, const Tensor& tensor) {
    tensor->set_output(true).set_dim(list(d[role].dim)).set_stride(list(d[role].stride));
    complete(role, tensor);
  }
  void complete(D::Role role, const Tensor& tensor) {
    tensor->set_uid(tensor_uid + role)
        .set_data_type(role == D::statistics ? fe::DataType_t::FLOAT : fe::DataType_t::BFLOAT16)
        .set_ragged_offset(offsets[static_cast<size_t>(d[role].offsets)]);
  }
  /// What both passes say of their scores.
  template <typename Attributes>
  Attributes attributes() const {
    Attributes made;
    made.set_attn_scale(d.scale)
        .set_padding_mask(true)
        .set_seq_len_q(query_lengths)
        .set_seq_len_kv(key_lengths)
        .set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT)
        .set_diagonal_band_right_bound(narrow<int>(d.right_bound));
    if (d.left_bound > 0) made.set_diagonal_band_left_bound(narrow<int>(d.left_bound));
    return made;
  }

  void add_forward() {
    auto forward = attributes<fe::graph::SDPA_attributes>();
    forward.set_name("attention_forward").set_generate_stats(true);
    const auto [out, statistics] = graph.sdpa(input(D::q), input(D::k), input(D::v), forward);
    output(D::out, out);
    output(D::statistics, statistics);
  }
  void add_backward() {
    auto backward = attributes<fe::graph::SDPA_backward_attributes>();
    backward.set_name("attention_backward")
        .set_deterministic_algorithm(d.deterministic)
        .set_max_total_seq_len_q(d.bucket.tokens)
        .set_max_total_seq_len_kv(d.bucket.tokens);
    const auto [dq, dk, dv] = graph.sdpa_backward(input(D::q), input(D::k), input(D::v), input(D::out), input(D::dout),
                                                  input(D::statistics), backward);
    output(D::dq, dq);
    output(D::dk, dk);
    output(D::dv, dv);
  }

  const D& d;
  fe::graph::Graph graph;
  std::vector<Tensor> offsets;
  Tensor query_lengths, key_lengths;
};

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

/// A graph that is ready to run, or why there is none.
class CudnnAttention::Graph {
 public:
  Graph(cudnnHandle_t handle, const D& description) : description_(description), draft_(description_) {
    description.backward ? draft_.add_backward() : draft_.add_forward();
    refusal_ = build(handle);
  }

  const D& description() const { return description_; }
  const std::string& refusal() const { return refusal_; }
  int64_t workspace_bytes() const { return workspace_bytes_; }

  void execute(cudnnHandle_t handle, std::unordered_map<int64_t, void*>& pointers, void* workspace) const {
    fe::error_t error = draft_.graph.execute(handle, pointers, workspace);
    if (error.is_bad()) throw ClusterError("cuDNN: {}: {}", in_words(description_), error.get_message());
  }

 private:
  std::string build(cudnnHandle_t handle) {
    fe::graph::Graph& graph = draft_.graph;
    fe::error_t error = graph.validate();
    if (error.is_good()) error = graph.build_operation_graph(handle);
    if (error.is_good()) error = graph.create_execution_plans({fe::HeurMode_t::A});
    if (error.is_good()) error = graph.check_support();
    if (error.is_good()) error = graph.build_plans();
    if (error.is_good()) error = graph.get_workspace_size(workspace_bytes_);
    if (error.is_good()) return {};
    return error.get_message().empty() ? "for no reason that it tells" : in_one_line(error.get_message());
  }

  D description_;
  Draft draft_;
  std::string refusal_;
  int64_t workspace_bytes_ = 0;
};

/// One group of documents, by the graph of its bucket.
struct CudnnAttention::Call {
  const Graph* graph;
  AttentionGroup group;
};

/// Where the parts of the workspace begin that a call uses, and what it takes in all.
struct CudnnAttention::Room {
  int64_t offsets = 0, lengths, key_gradients, own, end;  // own: cuDNN's
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
CudnnAttention::Graph* CudnnAttention::graph(const AttentionDescription& description) {
  std::unique_ptr<Graph>& found = graphs_[description];
  if (found == nullptr) found = std::make_unique<Graph>(handle_, description);
  return found.get();
}

/// Null where cuDNN declines.
CudnnAttention::Graph* CudnnAttention::accepted(const AttentionDescription& description) {
  Graph* const found = graph(description);
  if (!found->refusal().empty()) declined(in_words(description), found->refusal());
  return found->refusal().empty() ? found : nullptr;
}

CudnnAttention::Room CudnnAttention::room_of(const Graph& graph) {
  const D& d = graph.description();
  const auto arrays = static_cast<int64_t>(d.offset_strides.size());
  const auto behind = [](int64_t begin, int64_t bytes) { return round_up(begin + bytes, workspace_alignment); };
  Room room{};
  room.lengths = behind(0, arrays * cuda::attention_offsets_pitch(d.bucket.documents) * int64_t{sizeof(int64_t)});
  room.key_gradients = behind(room.lengths, d.bucket.documents * int64_t{sizeof(int32_t)});
  const AttentionTensor& k = d[D::k];
  const int64_t gradient = d.key_gradients_apart ? d.bucket.tokens * k.dim[1] * k.dim[3] * size_of(DType::bf16) : 0;
  room.own = behind(room.key_gradients, 2 * gradient);
  room.end = room.own + graph.workspace_bytes();
  return room;
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
    const Graph* const found = graph(description);
    return found->refusal().empty() ? room_of(*found).end : 0;
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
  const Room room = room_of(*call.graph);
  char* const memory = static_cast<char*>(workspace_->room(stream, room.end));
  auto* const offsets = reinterpret_cast<int64_t*>(memory + room.offsets);
  auto* const lengths = reinterpret_cast<int32_t*>(memory + room.lengths);
  cuda::attention_offsets(cuda_stream(stream), shape.cu_seqlens_on_device + call.group.first, call.group.count,
                          documents, d.offset_strides, offsets, lengths);

  std::unordered_map<int64_t, void*> pointers = {{query_lengths_uid, lengths}, {key_lengths_uid, lengths}};
  for (int64_t i = 0; i < arrays; ++i)
    pointers[offsets_uid + i] = offsets + i * cuda::attention_offsets_pitch(documents);
  for (int64_t role = 0; role < (d.backward ? D::roles : D::statistics + 1); ++role)
    pointers[tensor_uid + role] = const_cast<void*>(tensors.tensors[static_cast<size_t>(role)]);
  check(cudnnSetStream(handle_, cuda_stream(stream)), "choosing a stream");
  call.graph->execute(handle_, pointers, memory + room.own);
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
  const Room room = room_of(*call.graph);
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
