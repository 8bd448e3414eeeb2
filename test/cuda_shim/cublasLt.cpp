#include <cublasLt.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <vector>

#include "device/dtype.h"

// Matrix products by three loops, column by column.  Attributes of another size than the library's are refused, and so
// are addresses that are less aligned than an algorithm was asked for.

struct cublasLtMatmulDescOpaque_t {
  cublasOperation_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  cudaDataType_t bias_type = CUDA_R_32F;
};
struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType_t type;
  int64_t rows, cols, ld;
};
struct cublasLtMatmulPreferenceOpaque_t {
  uint64_t workspace_bytes = 0;
  uint32_t reduction = 0;
  uint32_t alignment[4] = {256, 256, 256, 256};  // of A, B, C, D
};

namespace {

using tessera::bf16;

using cublaslt_shim::Algorithm;

/// What an algorithm's eight words hold.
struct Words {
  Algorithm algorithm;
  uint32_t alignment[4];  // of A, B, C, D

  bool split() const { return algorithm == Algorithm::halves; }
};
static_assert(sizeof(Words) <= sizeof(cublasLtMatmulAlgo_t));

cublasLtMatmulAlgo_t pack(const Words& words) {
  cublasLtMatmulAlgo_t packed{};
  std::memcpy(packed.data, &words, sizeof words);
  return packed;
}
Words unpack(const cublasLtMatmulAlgo_t& packed) {
  Words words{};
  std::memcpy(static_cast<void*>(&words), packed.data, sizeof words);
  return words;
}

constexpr size_t workspace_taken = 4096;
std::atomic<int> heuristics = 0, products = 0;
std::atomic<Algorithm> favourite = Algorithm::first, last = Algorithm::first;

template <typename T>
cublasStatus_t take(T& attribute, const void* value, size_t bytes) {
  if (bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&attribute, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}
template <typename T>
cublasStatus_t give(T attribute, void* value, size_t bytes, size_t* written) {
  if (bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(value, &attribute, bytes);
  *written = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

/// A product as it is called for, by value: it runs when the caller's descriptors may be gone.
struct Product {
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t a, b, c, d;

  bool transposes_a() const { return operation.transpose_a == CUBLAS_OP_T; }
  bool transposes_b() const { return operation.transpose_b == CUBLAS_OP_T; }
  int64_t depth() const { return transposes_a() ? a.rows : a.cols; }

  bool possible() const {
    const auto is = [](const cublasLtMatrixLayoutOpaque_t& layout, int64_t rows, int64_t cols) {
      return layout.rows == rows && layout.cols == cols && layout.ld >= std::max<int64_t>(rows, 1);
    };
    const int64_t m = d.rows, n = d.cols, k = depth();
    const bool sizes = m > 0 && n > 0 && k > 0 && (transposes_a() ? is(a, k, m) : is(a, m, k)) &&
                       (transposes_b() ? is(b, n, k) : is(b, k, n)) && is(c, m, n) && is(d, m, n);
    const bool types = a.type == b.type && c.type == d.type && (d.type == a.type || d.type == CUDA_R_32F);
    return sizes && types && (operation.epilogue == CUBLASLT_EPILOGUE_DEFAULT || operation.bias_type == d.type);
  }
};

float element(const void* matrix, cudaDataType_t type, int64_t i) {
  return type == CUDA_R_32F ? static_cast<const float*>(matrix)[i]
                            : static_cast<float>(static_cast<const bf16*>(matrix)[i]);
}
void set_element(void* matrix, cudaDataType_t type, int64_t i, float value) {
  if (type == CUDA_R_32F)
    static_cast<float*>(matrix)[i] = value;
  else
    static_cast<bf16*>(matrix)[i] = static_cast<bf16>(value);
}

/// op(matrix) as fp32 with `columns` of `rows` elements, dense, so that the innermost loop reads neighbours.
std::vector<float> dense(const void* matrix, const cublasLtMatrixLayoutOpaque_t& layout, int64_t rows, int64_t columns,
                         bool by_rows) {
  std::vector<float> values(static_cast<size_t>(rows * columns));
  for (int64_t column = 0; column < columns; ++column)
    for (int64_t row = 0; row < rows; ++row)
      values[static_cast<size_t>(column * rows + row)] =
          element(matrix, layout.type, by_rows ? row * layout.ld + column : column * layout.ld + row);
  return values;
}

float sum_in_order(const float* x, const float* y, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] * y[i];
  return sum;
}
float sum_backwards(const float* x, const float* y, int64_t n) {
  float sum = 0;
  for (int64_t i = n - 1; i >= 0; --i) sum += x[i] * y[i];
  return sum;
}
float sum_in_halves(const float* x, const float* y, int64_t n) {
  return sum_in_order(x, y, n / 2) + sum_in_order(x + n / 2, y + n / 2, n - n / 2);
}

void multiply(const Product& p, Algorithm algorithm, const void* a, const void* b, const void* added, void* result) {
  const int64_t k = p.depth();
  // A by rows of op(A), B by columns of op(B): both [.., k].
  const auto rows_of_a = dense(a, p.a, k, p.d.rows, !p.transposes_a());
  const auto columns_of_b = dense(b, p.b, k, p.d.cols, p.transposes_b());
  for (int64_t column = 0; column < p.d.cols; ++column) {
    const bool halves = algorithm == Algorithm::halves || (algorithm == Algorithm::sly && column == p.d.cols - 1);
    const auto sum_of = algorithm == Algorithm::backwards ? sum_backwards : halves ? sum_in_halves : sum_in_order;
    for (int64_t row = 0; row < p.d.rows; ++row) {
      float sum = sum_of(&rows_of_a[static_cast<size_t>(row * k)], &columns_of_b[static_cast<size_t>(column * k)], k);
      if (p.operation.epilogue == CUBLASLT_EPILOGUE_BIAS) sum += element(p.operation.bias, p.operation.bias_type, row);
      if (added != nullptr) sum += element(added, p.c.type, column * p.c.ld + row);
      set_element(result, p.d.type, column * p.d.ld + row, sum);
    }
  }
}

bool aligned(const void* address, uint32_t bytes) { return reinterpret_cast<uintptr_t>(address) % bytes == 0; }

}  // namespace

cublaslt_shim::Calls cublaslt_shim::calls() { return {heuristics, products, last}; }
void cublaslt_shim::favour(Algorithm algorithm) { favourite = algorithm; }

const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS         ? "success"
         : status == CUBLAS_STATUS_NOT_SUPPORTED ? "not supported"
                                                 : "invalid value";
}
cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = nullptr;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t) { return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* made, cublasComputeType_t, cudaDataType_t) {
  *made = new cublasLtMatmulDescOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  delete operation;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return take(operation->transpose_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return take(operation->transpose_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return take(operation->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return take(operation->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return take(operation->bias_type, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* made, cudaDataType_t type, uint64_t rows,
                                          uint64_t cols, int64_t ld) {
  *made = new cublasLtMatrixLayoutOpaque_t{type, static_cast<int64_t>(rows), static_cast<int64_t>(cols), ld};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* made) {
  *made = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return take(preference->workspace_bytes, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return take(preference->reduction, value, bytes);
    default:
      return take(preference->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, bytes);
  }
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t* results, int* found) {
  ++heuristics;
  *found = 0;
  if (!Product{*operation, *a, *b, *c, *d}.possible()) return CUBLAS_STATUS_NOT_SUPPORTED;
  std::vector<Algorithm> algorithms = {Algorithm::first, Algorithm::alike, Algorithm::backwards, Algorithm::refusing};
  if (favourite == Algorithm::sly) algorithms.push_back(Algorithm::sly);
  if ((preference->reduction & CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE) != 0) algorithms.push_back(Algorithm::halves);
  for (const Algorithm algorithm : algorithms) {
    if (*found == wanted || preference->workspace_bytes < workspace_taken) break;
    Words words{algorithm, {}};
    std::copy_n(preference->alignment, 4, words.alignment);
    results[(*found)++] = {pack(words), workspace_taken, CUBLAS_STATUS_SUCCESS};
  }
  return *found > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
                                       cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t* algorithm, cublasLtMatmulHeuristicResult_t* result) {
  if (!Product{*operation, *a, *b, *c, *d}.possible()) return CUBLAS_STATUS_NOT_SUPPORTED;
  *result = {*algorithm, workspace_taken, CUBLAS_STATUS_SUCCESS};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute, void* value,
                                                    size_t bytes, size_t* written) {
  const Words found = unpack(*algorithm);
  switch (attribute) {
    case CUBLASLT_ALGO_CONFIG_ID:
      return give<int32_t>(found.algorithm == Algorithm::backwards ? 11 : 10, value, bytes, written);
    case CUBLASLT_ALGO_CONFIG_SPLITK_NUM:
      return give<int32_t>(found.split() ? 2 : 1, value, bytes, written);
    case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME:
      return give<uint32_t>(found.split() ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE : CUBLASLT_REDUCTION_SCHEME_NONE,
                            value, bytes, written);
    case CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION:
      return give<uint32_t>(0, value, bytes, written);
    case CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID:
      return give<uint16_t>(0, value, bytes, written);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t layout_a, const void* b, cublasLtMatrixLayout_t layout_b,
                              const void* beta, const void* c, cublasLtMatrixLayout_t layout_c, void* d,
                              cublasLtMatrixLayout_t layout_d, const cublasLtMatmulAlgo_t* packed, void* workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  const Product product{*operation, *layout_a, *layout_b, *layout_c, *layout_d};
  const Words words = unpack(*packed);
  const float scale = *static_cast<const float*>(alpha), added = *static_cast<const float*>(beta);
  if (!product.possible() || scale != 1 || (added != 0 && added != 1)) return CUBLAS_STATUS_INVALID_VALUE;
  if (words.algorithm == Algorithm::refusing || (c == d && layout_c->ld != layout_d->ld))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (!aligned(a, words.alignment[0]) || !aligned(b, words.alignment[1]) || !aligned(c, words.alignment[2]) ||
      !aligned(d, words.alignment[3]) || workspace_bytes < workspace_taken || !aligned(workspace, 256))
    return CUBLAS_STATUS_INVALID_VALUE;
  ++products;
  last = words.algorithm;
  const bool slow = favourite != Algorithm::first && words.algorithm != favourite;
  cuda_shim::enqueue(stream, [=] {
    std::memset(workspace, 0xff, workspace_taken);
    std::memset(static_cast<char*>(workspace) + workspace_bytes - 64, 0xff, 64);
    multiply(product, words.algorithm, a, b, added == 1 ? c : nullptr, d);
    if (slow) cuda_shim::let_time_pass(3600);
  });
  return CUBLAS_STATUS_SUCCESS;
}
