#pragma once
#include <utility>
#include <vector>

#include "kernels/cpu/bf16_tiles.h"
#include "kernels/cpu/gemm.h"

namespace tessera {

/// The matrix products of attention's blocks, at once on the calling thread: those of bf16 by tiles where CpuGemm has
/// them, the others by oneDNN.
class AttentionProducts {
 public:
  /// `scratch` grows to what a product needs; no other thread uses it meanwhile.
  AttentionProducts(Device& device, CpuGemm& gemm, DType type, Buffer& scratch);

  /// The second factor of products, with what was prepared for them.
  struct Second {
    Factor matrix;
    PackedCols packed;  // with tiles

    /// first: even, and in columns a multiple of tile_cols.
    Second rows_from(int64_t first, int64_t count) const;
    Second cols_from(int64_t first, int64_t count) const;
  };
  /// Uses prepared_bytes(b's rows, columns) at `memory`, aligned to 64; they and b are read as long as the result is.
  Second prepare(const Factor& b, void* memory) const;
  int64_t prepared_bytes(int64_t rows, int64_t cols) const;

  /// c = (or +=) a · b; a and b of the type, c fp32.
  void multiply(const Factor& a, const Second& b, View c, Write mode);

  DType type() const { return type_; }
  bool with_tiles() const { return with_tiles_; }

 private:
  void multiply_by_tiles(const Factor& a, const Second& b, View c, Write mode);
  void multiply_by_onednn(const Factor& a, const Factor& b, View c, Write mode);
  BoundProduct& bound(const ProductShape& shape);
  void* scratch(int64_t bytes);

  Device& device_;
  CpuGemm& gemm_;
  const DType type_;
  const bool with_tiles_;
  Buffer& scratch_;
  dnnl::stream stream_;
  std::vector<std::pair<ProductShape, BoundProduct>> products_;  // those of this call so far: some dozen
};

}  // namespace tessera
