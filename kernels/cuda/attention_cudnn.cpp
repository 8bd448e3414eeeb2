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

void check_version() {
  const size_t version = cudnnGetVersion();
  if (version >= oldest_version && version / 10000 == CUDNN_MAJOR) return;
  throw ClusterError(
      "cuDNN {} is installed, {} or newer of cuDNN {} is needed; install it, or set LD_LIBRARY_PATH to it",
      version_in_words(version), version_in_words(oldest_version), CUDNN_MAJOR);
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

CudnnAttention::CudnnAttention(CudaDevice& device, CudnnAttentionSettings settings)
    : device_(device), settings_(settings) {
  check_version();
  check(cudnnCreate(&handle_), "starting");
}

CudnnAttention::~CudnnAttention() {
  graphs_.clear();
  cudnnDestroy(handle_);
}

void CudnnAttention::reserve(int64_t tokens) { tokens_reserved_ = std::max(tokens_reserved_, tokens); }

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

/// describe(parts) with as few parts as the limit of the workspace allows; null where cuDNN declines.  A workspace
/// grows in proportion to the heads, so the first one tells how many parts it takes.
template <typename Describe>
CudnnAttention::Graph* CudnnAttention::graph_in_parts(const Kernels::AttentionShape& shape, const Describe& describe) {
  int64_t parts = 1;
  while (parts > 0) {
    Graph* const found = accepted(describe(parts));
    if (found == nullptr || found->workspace_bytes() <= settings_.most_workspace_bytes) return found;
    const int64_t share = ceil_div(found->workspace_bytes() * parts, settings_.most_workspace_bytes);
    parts = attention_parts(shape, std::max(share, parts + 1));
  }
  declined(in_words(describe(1)),
           fmt::format("it would take more than {:.1f} GiB of workspace",
                       static_cast<double>(settings_.most_workspace_bytes) / (int64_t{1} << 30)));
  return nullptr;
}

/// Grows when a bucket is met first; what the stream still does with the smaller one is waited for.
void* CudnnAttention::room(Stream& stream, Buffer& buffer, int64_t bytes, const char* what) {
  if (buffer.bytes() < bytes) {
    stream.synchronize();
    buffer.reset();
    buffer = Buffer(device_, bytes, what);
  }
  return buffer.data();
}

/// Tells cuDNN of the batch's documents and runs the graph.
void CudnnAttention::execute(Stream& stream, const Kernels::AttentionShape& shape, const Graph& graph,
                             const Pointers& tensors) {
  const D& d = graph.description();
  const int64_t documents = d.bucket.documents, arrays = static_cast<int64_t>(d.offset_strides.size());
  const int64_t offset_bytes = cuda::attention_offsets_pitch(documents) * int64_t{sizeof(int64_t)};
  const int64_t bytes = arrays * offset_bytes + documents * int64_t{sizeof(int32_t)};
  char* const memory = static_cast<char*>(room(stream, documents_, bytes, "attention's documents"));
  auto* const offsets = reinterpret_cast<int64_t*>(memory);
  auto* const lengths = reinterpret_cast<int32_t*>(memory + arrays * offset_bytes);
  cuda::attention_offsets(cuda_stream(stream), shape.cu_seqlens_on_device, shape.N, documents, d.offset_strides,
                          offsets, lengths);

  std::unordered_map<int64_t, void*> pointers = {{query_lengths_uid, lengths}, {key_lengths_uid, lengths}};
  for (int64_t i = 0; i < arrays; ++i) pointers[offsets_uid + i] = memory + i * offset_bytes;
  for (int64_t role = 0; role < (d.backward ? D::roles : D::statistics + 1); ++role)
    pointers[tensor_uid + role] = const_cast<void*>(tensors.tensors[static_cast<size_t>(role)]);
  void* const workspace = room(stream, workspace_, graph.workspace_bytes(), "attention's workspace");
  check(cudnnSetStream(handle_, cuda_stream(stream)), "choosing a stream");
  graph.execute(handle_, pointers, workspace);
}

bool CudnnAttention::forward(Stream& stream, const Kernels::AttentionShape& shape, ConstView q, ConstView k,
                             ConstView v, View out, float* log_sum_exp) {
  if (q.rows == 0) return true;
  if (const std::string why = attention_obstacle(shape, {q, k, v, out}); !why.empty())
    return declined("attention", why);
  const AttentionBucket bucket = attention_bucket(shape, q.rows, tokens_reserved_);
  const Graph* const found = accepted(describe_attention_forward(shape, bucket, q, k, v, out));
  if (found == nullptr) return false;
  execute(stream, shape, *found, {{q.data, k.data, v.data, out.data, log_sum_exp}});
  return true;
}

bool CudnnAttention::backward(Stream& stream, const Kernels::AttentionShape& shape, ConstView q, ConstView k,
                              ConstView v, ConstView out, const float* log_sum_exp, ConstView dout, View dq, View dk,
                              View dv) {
  if (q.rows == 0) return true;
  if (const std::string why = attention_obstacle(shape, {q, k, v, out, dout, dq, dk, dv}); !why.empty())
    return declined("attention", why);
  const AttentionBucket bucket = attention_bucket(shape, q.rows, tokens_reserved_);
  const Graph* const found = graph_in_parts(shape, [&](int64_t parts) {
    return describe_attention_backward(shape, bucket, settings_.deterministic, parts, q, k, v, out, dout, dq, dk, dv);
  });
  if (found == nullptr) return false;
  const int64_t parts = found->description().parts, heads = shape.H / parts;
  for (int64_t p = 0; p < parts; ++p) {
    const auto part = [&](const auto& view) { return attention_part(view, p, parts); };
    run_backward(stream, shape, *found,
                 {{part(q).data, part(k).data, part(v).data, part(out).data, log_sum_exp + p * heads, part(dout).data,
                   part(dq).data, part(dk).data, part(dv).data}},
                 part(dk), part(dv));
  }
  return true;
}

/// One part; dk, dv: its views.
void CudnnAttention::run_backward(Stream& stream, const Kernels::AttentionShape& shape, const Graph& graph,
                                  Pointers tensors, View dk, View dv) {
  if (!graph.description().key_gradients_apart) return execute(stream, shape, graph, tensors);
  const int64_t bytes = graph.description().bucket.tokens * dk.cols * size_of(dk.dtype);
  char* const apart =
      static_cast<char*>(room(stream, key_gradients_, 2 * bytes, "attention's gradients of keys and values"));
  const View dk_apart(apart, dk.dtype, dk.rows, dk.cols), dv_apart(apart + bytes, dv.dtype, dv.rows, dv.cols);
  tensors.tensors[D::dk] = dk_apart.data;
  tensors.tensors[D::dv] = dv_apart.data;
  execute(stream, shape, graph, tensors);
  copy_rows(stream, dk_apart, dk);
  copy_rows(stream, dv_apart, dv);
}

}  // namespace tessera
