#pragma once
#include "device/device.h"
#include "kernels/cuda/gemm_description.h"

namespace tessera {

/// Who makes the products that a description asks for: cuBLASLt on a GPU (gemm_cublaslt.h), plain loops where there is
/// none (test/cuda_shim).
class MatrixProducts {
 public:
  virtual ~MatrixProducts() = default;

  /// Enqueued on `stream`; nothing where description.empty().  a, b, c: what the function that made the description
  /// calls A, B and C; bias: of `m` elements, null unless the description has one.
  virtual void run(Stream& stream, const GemmDescription& description, const void* a, const void* b, const void* bias,
                   void* c) = 0;

  /// Of the workspace (workspace.h), what a product may use.
  virtual int64_t workspace_bytes() const { return 0; }
};

}  // namespace tessera
