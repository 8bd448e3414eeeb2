#include "kernels/cpu/attention_products.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/cpu/pack_factor.h"

namespace tessera {

AttentionProducts::AttentionProducts(Device& device, CpuGemm& gemm, DType type, Buffer& scratch)
    : device_(device),
      gemm_(gemm),
      type_(type),
      with_tiles_(type == DType::bf16 && gemm.with_tiles()),
      scratch_(scratch),
      stream_(gemm.engine()) {}

AttentionProducts::Second AttentionProducts::Second::rows_from(int64_t first, int64_t count) const {
  return {matrix.rows_from(first, count), packed.rows_from(first)};
}
AttentionProducts::Second AttentionProducts::Second::cols_from(int64_t first, int64_t count) const {
  return {matrix.cols_from(first, count), packed.cols_from(first)};
}

int64_t AttentionProducts::prepared_bytes(int64_t rows, int64_t cols) const {
  return with_tiles_ ? packed_bytes(rows, cols, tile_cols) : 0;
}

AttentionProducts::Second AttentionProducts::prepare(const Factor& b, void* memory) const {
  if (!with_tiles_) return {b, {}};
  pack_factor(1, b.view, b.transposed, tile_cols, memory);
  return {b, packed_cols(memory, b.rows())};
}

void AttentionProducts::multiply(const Factor& a, const Second& b, View c, Write mode) {
  if (with_tiles_) {
    multiply_by_tiles(a, b, c, mode);
  } else {
    multiply_by_onednn(a, b.matrix, c, mode);
  }
}

void AttentionProducts::multiply_by_tiles(const Factor& a, const Second& b, View c, Write mode) {
  multiply_tiles(pair_rows(a, scratch(pairing_bytes(a))), a.cols(), b.packed, nullptr, addend(c, mode), c);
}

void AttentionProducts::multiply_by_onednn(const Factor& a, const Factor& b, View c, Write mode) {
  ProductShape shape = shape_of(a, b, {}, c, mode);
  shape.one_thread = true;
  BoundProduct& product = bound(shape);
  product.run(stream_, a.view.data, b.view.data, nullptr, c.data, scratch(product.scratch_bytes()));
}

BoundProduct& AttentionProducts::bound(const ProductShape& shape) {
  const auto found = std::find_if(products_.begin(), products_.end(), [&](const auto& p) { return p.first == shape; });
  if (found != products_.end()) return found->second;
  auto product = gemm_.product(shape);
  if (!product->exists()) throw std::logic_error("oneDNN refuses a product of attention");
  return products_.emplace_back(shape, BoundProduct(gemm_.engine(), std::move(product))).second;
}

void* AttentionProducts::scratch(int64_t bytes) {
  if (scratch_.bytes() < bytes) {
    scratch_.reset();
    scratch_ = Buffer(device_, bytes, "the scratch memory of attention's products");
  }
  return scratch_.data();
}

}  // namespace tessera
