#pragma once
#include "device/device.h"
#include "kernels/cuda/gemm_description.h"

namespace tessera {

/// Who makes the products that a description asks for: cuBLASLt on a GPU (gemm_cublaslt.h), plain loops where there is
/// none (test/cuda_shim).
class MatrixProducts {
 public:
  virtual ~MatrixProducts() = default;

  /// What the function that made the description calls A, B and C; a bias of `m` elements, and what else is added, null
  /// unless the description has them.
  struct Operands {
    const void *a, *b, *bias, *added;
    void* c;
  };
  /// Enqueued on `stream`; nothing where description.empty().
  virtual void run(Stream& stream, const GemmDescription& description, const Operands& operands) = 0;

  /// Of the workspace (workspace.h), what a product may use.
  virtual int64_t workspace_bytes() const { return 0; }
};

}  // namespace tessera
