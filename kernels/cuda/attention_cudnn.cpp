#include "kernels/cuda/attention_cudnn.h"

#define CUDNN_FRONTEND_SKIP_JSON_LIB  // serialised graphs, which nobody here has
#include <cudnn_frontend.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/number.h"
#include "device/cuda/check.h"
#include "device/cuda/cuda_device.h"

// cuDNN frontend, docs/operations/Attention.md; samples/cpp/sdpa/fp16_fwd.cpp and fp16_bwd.cpp.
namespace tessera {
namespace {

namespace fe = cudnn_frontend;
using D = AttentionDescription;
using Tensor = std::shared_ptr<fe::graph::Tensor_attributes>;

/// 9.6 brought packed statistics and shared key heads for packed documents; 9.10.2 mended sliding windows, 9.18.1 NaN
/// in the gradients of packed documents on Hopper (NVIDIA/TransformerEngine, issue 2186).
constexpr size_t oldest_version = 91801;

/// What a graph knows its tensors by.
constexpr int64_t tensor_uid(int64_t role) { return 1 + role; }
constexpr int64_t offsets_uid(int64_t i) { return 100 + i; }
constexpr int64_t query_lengths_uid = 200, key_lengths_uid = 201;

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

std::vector<int64_t> list(const std::array<int64_t, 4>& values) { return {values.begin(), values.end()}; }

/// A graph while it is put together.
struct Draft {
  explicit Draft(const D& description) : d(description) {
    graph.set_io_data_type(fe::DataType_t::BFLOAT16)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
    for (size_t i = 0; i < d.offset_strides.size(); ++i)
      offsets.push_back(array(offsets_uid(static_cast<int64_t>(i)), d.bucket.documents + 1, fe::DataType_t::INT64));
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
    tensor->set_uid(tensor_uid(role))
        .set_data_type(role == D::statistics ? fe::DataType_t::FLOAT : fe::DataType_t::BFLOAT16);
    if (!d.padded) tensor->set_ragged_offset(offsets[static_cast<size_t>(d[role].offsets)]);
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
    backward.set_name("attention_backward").set_deterministic_algorithm(d.deterministic);
    if (!d.padded) backward.set_max_total_seq_len_q(d.bucket.tokens).set_max_total_seq_len_kv(d.bucket.tokens);
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

class CudnnGraph final : public AttentionGraph {
 public:
  CudnnGraph(const D& description, cudnnHandle_t handle) : handle_(handle), d_(description), draft_(d_) {
    refusal_ = build();
  }
  CudnnGraph(const D& description, const DescribedGpu& gpu) : d_(description), draft_(d_) {
    const auto properties = std::make_shared<fe::DeviceProperties>();
    const fe::error_t error = properties->deserialize({gpu.properties.begin(), gpu.properties.end()});
    if (error.is_bad()) throw std::logic_error("cuDNN does not take this for a GPU: " + gpu.properties);
    draft_.graph.set_device_properties(properties).set_sm_version(gpu.compute_capability);
    refusal_ = build();
  }

  const std::string& refusal() const override { return refusal_; }
  int64_t workspace_bytes() const override { return workspace_bytes_; }

  void execute(Stream& stream, const AttentionPointers& pointers) override {
    std::unordered_map<int64_t, void*> by_uid = {{query_lengths_uid, pointers.lengths},
                                                 {key_lengths_uid, pointers.lengths}};
    for (int64_t i = 0; i < static_cast<int64_t>(d_.offset_strides.size()); ++i)
      by_uid[offsets_uid(i)] = pointers.offsets + i * attention_offsets_pitch(d_.bucket.documents);
    for (int64_t role = 0; role < d_.roles_used(); ++role)
      by_uid[tensor_uid(role)] = pointers.tensors[static_cast<size_t>(role)];
    check(cudnnSetStream(handle_, cuda_stream(stream)), "choosing a stream");
    fe::error_t error = draft_.graph.execute(handle_, by_uid, pointers.workspace);
    if (error.is_bad()) throw ClusterError("cuDNN: {}: {}", in_words(d_), error.get_message());
  }

 private:
  std::string build() {
    d_.backward ? draft_.add_backward() : draft_.add_forward();
    fe::graph::Graph& graph = draft_.graph;
    fe::error_t error = graph.validate();
    if (error.is_good()) error = graph.build_operation_graph(handle_);
    if (error.is_good()) error = graph.create_execution_plans({fe::HeurMode_t::A});
    if (error.is_good()) error = graph.check_support();
    if (error.is_good()) error = graph.build_plans();
    if (error.is_good()) error = graph.get_workspace_size(workspace_bytes_);
    if (error.is_good()) return {};
    return error.get_message().empty() ? "for no reason that it tells" : in_one_line(error.get_message());
  }

  cudnnHandle_t handle_ = nullptr;
  D d_;
  Draft draft_;
  std::string refusal_;
  int64_t workspace_bytes_ = 0;
};

}  // namespace

void check_cudnn_version() {
  const size_t version = cudnnGetVersion();
  if (version >= oldest_version && version / 10000 == CUDNN_MAJOR) return;
  throw ClusterError(
      "cuDNN {} is installed, {} or newer of cuDNN {} is needed: older ones give wrong gradients of packed documents "
      "on "
      "some GPUs; install it, or set LD_LIBRARY_PATH to it",
      version_in_words(version), version_in_words(oldest_version), CUDNN_MAJOR);
}

CudnnGraphs::CudnnGraphs() {
  check_cudnn_version();
  check(cudnnCreate(&handle_), "starting");
}

std::string CudnnGraphs::identity() const {
  int device = 0, major = 0, minor = 0;
  cuda::check(cudaGetDevice(&device), "asking for the GPU in use");
  cuda::check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "asking for its capability");
  cuda::check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "asking for its capability");
  return fmt::format("cuDNN {} on {}.{}", version_in_words(cudnnGetVersion()), major, minor);
}

CudnnGraphs::~CudnnGraphs() { cudnnDestroy(handle_); }

std::unique_ptr<AttentionGraph> CudnnGraphs::build(const AttentionDescription& description) {
  return std::make_unique<CudnnGraph>(description, handle_);
}

std::unique_ptr<AttentionGraph> build_cudnn_graph(const AttentionDescription& description, const DescribedGpu& gpu) {
  return std::make_unique<CudnnGraph>(description, gpu);
}

}  // namespace tessera
