#include "kernels/cuda/gemm_cublaslt.h"

#include <algorithm>
#include <limits>
#include <string>

#include "base/error.h"
#include "base/number.h"
#include "device/cuda/check.h"

// cuBLAS documentation, "Using the cuBLASLt API": cublasLtMatmul, cublasLtMatmulDescAttributes_t,
// cublasLtMatmulPreferenceAttributes_t.
namespace tessera {
namespace {

constexpr int64_t product_bytes = 32 << 20;  // of workspace: what cuBLAS advises for Hopper and takes itself
static_assert(product_bytes % workspace_alignment == 0);
constexpr int candidates_asked = 8;
constexpr int timed_runs = 3;
constexpr int most_trials = 64;  // products of a layer and the head, for a few numbers of tokens
constexpr int64_t compared_bytes = 4 << 20;
constexpr size_t plans_kept = 4096;  // packed batches bring a number of tokens of their own each

void check(cublasStatus_t status, const std::string& what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw ClusterError("cuBLASLt: {}: {}", what, cublasLtGetStatusString(status));
}

cudaDataType_t type_of(DType dtype) { return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }
cublasOperation_t operation_of(bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; }

template <auto destroy>
struct Destroy {
  template <typename T>
  void operator()(T* handle) const {
    destroy(handle);
  }
};
using Operation = std::unique_ptr<cublasLtMatmulDescOpaque_t, Destroy<cublasLtMatmulDescDestroy>>;
using Layout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t, Destroy<cublasLtMatrixLayoutDestroy>>;
using Preference = std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, Destroy<cublasLtMatmulPreferenceDestroy>>;

template <typename T>
void set(const Operation& operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  check(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof value), "describing a product");
}
template <typename T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
  check(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value), "stating preferences");
}

Operation make_operation(const GemmDescription& d, const void* bias) {
  cublasLtMatmulDesc_t made = nullptr;
  check(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product");
  Operation operation(made);
  set(operation, CUBLASLT_MATMUL_DESC_TRANSA, operation_of(d.transpose_a));
  set(operation, CUBLASLT_MATMUL_DESC_TRANSB, operation_of(d.transpose_b));
  if (d.bias) {
    set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(d.result));
    set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);  // the heuristics look at its alignment
  }
  return operation;
}

/// The matrix as it lies in memory: op(matrix) is [rows, cols].
Layout make_layout(DType dtype, int64_t rows, int64_t cols, bool transposed, int64_t leading_dimension) {
  if (transposed) std::swap(rows, cols);
  cublasLtMatrixLayout_t made = nullptr;
  check(cublasLtMatrixLayoutCreate(&made, type_of(dtype), static_cast<uint64_t>(rows), static_cast<uint64_t>(cols),
                                   leading_dimension),
        "describing a matrix");
  return Layout(made);
}

uint32_t alignment_of(const void* address) {
  const auto bits = reinterpret_cast<uintptr_t>(address) | 256U;
  return static_cast<uint32_t>(bits & (~bits + 1));
}

/// What a result takes, from its first element to its last.
int64_t result_bytes(const GemmDescription& d) { return ((d.n - 1) * d.ldc + d.m) * size_of(d.result); }

/// The first and the last of the result's bytes, once the stream has made them.
std::vector<char> both_ends(CudaDevice& device, Stream& stream, const GemmDescription& d, const void* result) {
  stream.synchronize();
  const int64_t all = result_bytes(d), of_each = std::min(all, compared_bytes);
  std::vector<char> bytes(static_cast<size_t>(2 * of_each));
  device.copy(result, bytes.data(), of_each);
  device.copy(static_cast<const char*>(result) + all - of_each, bytes.data() + of_each, of_each);
  return bytes;
}

/// What decides in which order a sum is made.  Two algorithms that differ in it can agree on one set of values, where
/// half of them are zero say, and give other bits for the next.
struct OrderOfSums {
  int32_t id, splits;
  uint32_t reduction, custom;
  uint16_t inner_shape;
  bool operator==(const OrderOfSums&) const = default;
};

template <typename T>
T attribute_of(const cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute) {
  T value{};
  size_t written = 0;
  check(cublasLtMatmulAlgoConfigGetAttribute(&algorithm, attribute, &value, sizeof value, &written),
        "reading an algorithm");
  return value;
}

OrderOfSums order_of_sums(const cublasLtMatmulAlgo_t& algorithm) {
  return {attribute_of<int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_ID),
          attribute_of<int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM),
          attribute_of<uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME),
          attribute_of<uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION),
          attribute_of<uint16_t>(algorithm, CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID)};
}

bool all_zero(const std::vector<char>& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char byte) { return byte == 0; });
}

}  // namespace

/// A product as the library knows it.
class CublasLtGemm::Plan {
 public:
  Plan(const GemmDescription& d, const void* bias)
      : operation(make_operation(d, bias)),
        a(make_layout(d.factors, d.m, d.k, d.transpose_a, d.lda)),
        b(make_layout(d.factors, d.k, d.n, d.transpose_b, d.ldb)),
        c(make_layout(d.result, d.m, d.n, false, d.ldc)),
        added(d.added ? make_layout(d.result, d.m, d.n, false, d.ld_added) : nullptr) {}

  bool adds() const { return added != nullptr; }
  /// The library wants a matrix to add even where it adds none.
  cublasLtMatrixLayout_t layout_added() const { return added ? added.get() : c.get(); }

  Operation operation;
  Layout a, b, c, added;
  std::vector<cublasLtMatmulHeuristicResult_t> candidates;  // until they were tried
  cublasLtMatmulAlgo_t algorithm{};
};

CublasLtGemm::CublasLtGemm(CudaDevice& device, std::shared_ptr<Workspace> workspace)
    : device_(device), trials_left_(most_trials), workspace_(std::move(workspace)) {
  check(cublasLtCreate(&handle_), "starting");
}

int64_t CublasLtGemm::workspace_bytes() const { return product_bytes; }

CublasLtGemm::~CublasLtGemm() {
  plans_.clear();
  cublasLtDestroy(handle_);
}

void CublasLtGemm::run(Stream& stream, const GemmDescription& d, const Operands& operands) {
  if (d.empty()) return;
  Operands on = operands;
  if (!d.added) on.added = on.c;
  const Shape shape{
      d, {alignment_of(on.a), alignment_of(on.b), alignment_of(on.bias), alignment_of(on.added), alignment_of(on.c)}};
  Plan& found = plan(shape, on.bias);
  if (d.bias) set(found.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, on.bias);
  if (found.candidates.size() > 1 && !take_choice(shape, found) && trials_left_ > 0)
    try_candidates(stream, shape, found, on);
  multiply(stream, d, found, found.algorithm, on);
}

/// As what a product's choice is remembered: packed batches have a number of tokens of their own each, and what is
/// added to makes little difference.
CublasLtGemm::Shape CublasLtGemm::rounded(Shape shape) {
  constexpr int64_t step = 256;
  GemmDescription& d = shape.description;
  for (int64_t* size : {&d.m, &d.n, &d.k}) *size = round_up(*size, step);
  d.added = false, d.ld_added = 0;
  shape.alignment.added = shape.alignment.c;
  return shape;
}

/// The algorithm that was fastest for such a product, where it sums in the order of this one's first candidate, so that
/// the bits are the same.
bool CublasLtGemm::take_choice(const Shape& shape, Plan& plan) {
  const auto found = choices_.find(rounded(shape));
  if (found == choices_.end()) return false;
  cublasLtMatmulHeuristicResult_t result{};
  const cublasStatus_t possible = cublasLtMatmulAlgoCheck(handle_, plan.operation.get(), plan.a.get(), plan.b.get(),
                                                          plan.layout_added(), plan.c.get(), &found->second, &result);
  if (possible == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= static_cast<size_t>(product_bytes) &&
      order_of_sums(found->second) == order_of_sums(plan.algorithm))
    plan.algorithm = found->second;
  plan.candidates.clear();
  return true;
}

CublasLtGemm::Plan& CublasLtGemm::plan(const Shape& shape, const void* bias) {
  if (const auto found = plans_.find(shape); found != plans_.end()) return *found->second;
  if (plans_.size() >= plans_kept) plans_.clear();
  auto made = std::make_unique<Plan>(shape.description, bias);
  made->candidates = candidates(shape, *made);
  made->algorithm = made->candidates.front().algo;
  if (trials_left_ == 0) made->candidates.clear();
  return *plans_.emplace(shape, std::move(made)).first->second;
}

/// Best guess first.  Parts of a sum that are made apart (split-K) are added in fp32, never in the result's bf16.
std::vector<cublasLtMatmulHeuristicResult_t> CublasLtGemm::candidates(const Shape& shape, const Plan& plan) const {
  cublasLtMatmulPreference_t made = nullptr;
  check(cublasLtMatmulPreferenceCreate(&made), "stating preferences");
  const Preference preference(made);
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(product_bytes));
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, shape.alignment.a);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, shape.alignment.b);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, shape.alignment.added);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, shape.alignment.c);

  std::vector<cublasLtMatmulHeuristicResult_t> results(candidates_asked);
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle_, plan.operation.get(), plan.a.get(), plan.b.get(), plan.layout_added(),
                                     plan.c.get(), preference.get(), candidates_asked, results.data(), &found);
  results.resize(static_cast<size_t>(std::max(found, 0)));
  std::erase_if(results, [](const auto& result) { return result.state != CUBLAS_STATUS_SUCCESS; });
  if (status != CUBLAS_STATUS_SUCCESS || results.empty())
    throw ClusterError("cuBLASLt has no way to compute {}, addresses aligned to {}, {}, {} bytes: {}",
                       in_words(shape.description), shape.alignment.a, shape.alignment.b, shape.alignment.c,
                       cublasLtGetStatusString(status));
  return results;
}

cublasStatus_t CublasLtGemm::start(Stream& stream, const Plan& plan, const cublasLtMatmulAlgo_t& algorithm,
                                   const Operands& on) {
  const float alpha = 1, beta = plan.adds() ? 1 : 0;
  return cublasLtMatmul(handle_, plan.operation.get(), &alpha, on.a, plan.a.get(), on.b, plan.b.get(), &beta, on.added,
                        plan.layout_added(), on.c, plan.c.get(), &algorithm, workspace_->room(stream, product_bytes),
                        static_cast<size_t>(product_bytes), cuda_stream(stream));
}

void CublasLtGemm::multiply(Stream& stream, const GemmDescription& d, const Plan& plan,
                            const cublasLtMatmulAlgo_t& algorithm, const Operands& on) {
  const cublasStatus_t status = start(stream, plan, algorithm, on);
  if (status != CUBLAS_STATUS_SUCCESS)
    throw ClusterError("cuBLASLt: {}: {}", in_words(d), cublasLtGetStatusString(status));
}

/// Takes the fastest of the candidates that sum in the order of the first and agree with it, and forgets the others.
/// What would be overwritten anyway is overwritten; where the result is added to what C holds, trials write into the
/// workspace, behind what products use of it, or wait for such a product that overwrites where that is too small: they
/// take no memory that the job has not planned.
void CublasLtGemm::try_candidates(Stream& stream, const Shape& shape, Plan& plan, Operands on) {
  const GemmDescription& d = shape.description;
  if (d.added && on.added == on.c) {
    if (product_bytes + result_bytes(d) > workspace_->bytes()) return;
    on.c = static_cast<char*>(workspace_->room(stream, workspace_->bytes())) + product_bytes;
    cuda::check(cudaMemsetAsync(on.c, 0, static_cast<size_t>(result_bytes(d)), cuda_stream(stream)),
                "clearing the place of trials");  // gaps between columns are compared too
  }
  --trials_left_;
  multiply(stream, d, plan, plan.algorithm, on);
  const std::vector<char> expected = both_ends(device_, stream, d, on.c);
  if (all_zero(expected)) return;  // any two algorithms would agree: another time
  const OrderOfSums order = order_of_sums(plan.algorithm);
  double shortest = std::numeric_limits<double>::infinity();
  for (const cublasLtMatmulHeuristicResult_t& candidate : plan.candidates) {
    const cublasLtMatmulAlgo_t& algorithm = candidate.algo;
    if (order_of_sums(algorithm) != order || start(stream, plan, algorithm, on) != CUBLAS_STATUS_SUCCESS) continue;
    if (both_ends(device_, stream, d, on.c) != expected) continue;
    const double taken = seconds(stream, d, plan, algorithm, on);
    if (taken < shortest) shortest = taken, plan.algorithm = algorithm;
  }
  plan.candidates.clear();
  choices_.emplace(rounded(shape), plan.algorithm);
}

double CublasLtGemm::seconds(Stream& stream, const GemmDescription& d, const Plan& plan,
                             const cublasLtMatmulAlgo_t& algorithm, const Operands& operands) {
  const auto begin = device_.make_timestamp(), end = device_.make_timestamp();
  begin->record(stream);
  for (int i = 0; i < timed_runs; ++i) multiply(stream, d, plan, algorithm, operands);
  end->record(stream);
  stream.synchronize();
  return end->seconds_since(*begin) / timed_runs;
}

}  // namespace tessera
