#pragma once
#include <compare>
#include <string>

#include "device/view.h"
#include "kernels/kernels.h"

/// The matrix products of linear.h as cuBLASLt is asked for them.  Nothing here knows CUDA: what can be wrong in such
/// a call is checked on the CPU (test/unit/kernels/gemm_description.cpp), and gemm_cublaslt.cpp copies it field by
/// field.
///
/// cuBLAS reads memory by columns.  A view [rows, cols] with a row stride is, read so, its own transpose: cols x rows
/// with that stride as leading dimension.  So each product is asked for as the transpose of what linear.h says, which
/// has the factors in the opposite order.
namespace tessera {

/// C = op(A) op(B) (+ bias) (+ added), column-major: op(A) [m, k], op(B) [k, n], C and added [m, n]; sums and scaling
/// in fp32.
struct GemmDescription {
  int64_t m = 0, n = 0, k = 0;
  int64_t lda = 0, ldb = 0, ldc = 0;  ///< elements from one column to the next, as the matrices lie in memory
  bool transpose_a = false;           ///< A lies as [k, m], else as [m, k]
  bool transpose_b = false;           ///< B lies as [n, k], else as [k, n]
  DType factors = DType::f32;         ///< the type of A and of B
  DType result = DType::f32;          ///< the type of C and of what is added
  bool bias = false;                  ///< m values, one for each row of C, added to every column
  bool added = false;                 ///< beta: 1, else 0
  int64_t ld_added = 0;               ///< of the matrix added, which may be C itself

  /// There is nothing to add up: of no tokens an output is empty, a gradient zero or what it was.
  bool empty() const { return m == 0 || n == 0 || k == 0; }
  auto operator<=>(const GemmDescription&) const = default;
};

/// "bf16 [64, 32]ᵀ x bf16 [64, 7] -> fp32 [32, 7], leading dimensions 64, 64, 40, added to one of 40": for errors and
/// logs.
std::string in_words(const GemmDescription& description);

/// LinearKernels::forward: A is w, B is x, C is y.
/// The bias is an epilogue of the product, whether a matrix is added or not; it has the type of y then, as cuBLASLt
/// demands, so fp32 logits of bf16 factors have none (std::logic_error). These three throw std::logic_error, with sizes
/// and types, where the views do not fit together.
GemmDescription describe_linear_forward(ConstView x, ConstView w, ConstView bias, ConstView added, ConstView y);

/// LinearKernels::backward_input: A is w, B is dy, C is dx.
GemmDescription describe_linear_backward_input(ConstView dy, ConstView w, ConstView dx, Write mode);

/// LinearKernels::backward_weight: A is x, B is dy, C is dw.
GemmDescription describe_linear_backward_weight(ConstView dy, ConstView x, ConstView dw, Write mode);

}  // namespace tessera
