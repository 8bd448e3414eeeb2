#pragma once
#include "kernels/cuda/matrix_products.h"

namespace tessera::test {

/// Matrix products by three loops that read a description as cuBLASLt does, column by column.
class PlainProducts final : public MatrixProducts {
 public:
  void run(Stream& stream, const GemmDescription& description, const Operands& operands) override;
};

}  // namespace tessera::test
