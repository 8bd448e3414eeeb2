#pragma once
#include "kernels/cuda/matrix_products.h"

namespace tessera::test {

/// Matrix products by three loops that read a description as cuBLASLt does, column by column.
class PlainProducts final : public MatrixProducts {
 public:
  void run(Stream& stream, const GemmDescription& description, const void* a, const void* b, const void* bias,
           void* c) override;
};

}  // namespace tessera::test
