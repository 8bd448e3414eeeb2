#pragma once
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <utility>
#include <vector>

#include "device/buffer.h"
#include "kernels/cpu/factor.h"
#include "kernels/kernels.h"

namespace tessera {

/// A product of matrices as oneDNN compiles one: everything but the addresses.
struct ProductShape {
  int64_t M, N, K;
  int64_t a_stride, b_stride, c_stride;  // of the rows of the views
  bool a_transposed, b_transposed;
  DType factors, result;
  bool with_bias, accumulate;
  bool one_thread;        // to be run inside a parallel region
  bool b_packed = false;  // b lies as pack_factor.h says, and its stride is 0

  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the 0 inside a defaulted comparison for a pointer
  auto operator<=>(const ProductShape&) const = default;
};

/// That of c = (or +=) a · b + bias, to be run outside parallel regions; bias may be empty.
ProductShape shape_of(const Factor& a, const Factor& b, ConstView bias, View c, Write mode);

/// A compiled product.
class Product {
 public:
  Product(const dnnl::engine& engine, const ProductShape& shape);

  /// False where the processor has no fast way for these types: nothing was compiled then.
  bool exists() const { return static_cast<bool>(primitive_); }
  int64_t scratch_bytes() const { return scratch_bytes_; }

 private:
  friend class BoundProduct;
  dnnl::memory::desc a_, b_, bias_, c_, scratch_;
  dnnl::matmul primitive_;
  int64_t scratch_bytes_ = 0;
};

/// A compiled product as one thread runs it again and again, with its arguments prepared but for their addresses.
class BoundProduct {
 public:
  BoundProduct(const dnnl::engine& engine, std::shared_ptr<const Product> product);

  /// c = (or +=) a · b + bias.  scratch: scratch_bytes() that no other thread uses.
  void run(const dnnl::stream& stream, const void* a, const void* b, const void* bias, void* c, void* scratch);
  int64_t scratch_bytes() const { return product_->scratch_bytes(); }

 private:
  std::shared_ptr<const Product> product_;
  dnnl::memory a_, b_, bias_, c_, scratch_;
  std::vector<dnnl_exec_arg_t> arguments_;
};

/// Matrix products, at once on the calling thread and the threads it may use: by oneDNN, and the larger ones of bf16 by
/// tiles (bf16_tiles.h).  oneDNN's compiled products are kept, the longest unused dropped first: the token counts of
/// batches vary without end.
class CpuGemm {
 public:
  /// Whether this processor is one for which tiles are made; one with AMX is left to oneDNN.
  static bool has_tiles();

  explicit CpuGemm(Device& device, bool with_tiles = has_tiles());

  /// c = a · b + bias + added; a, b and bias of one compute type, c and added of that or fp32.  bias may be empty, and
  /// is where a has no columns; added may be c, or empty.
  void multiply(const Factor& a, const Factor& b, ConstView bias, ConstView added, View c);

  /// The compiled product, made where it is asked for the first time.
  std::shared_ptr<const Product> product(const ProductShape& shape);

  /// Whether products of bf16 are at least as fast as those of fp32; where not, multiply() converts.
  bool fast_bf16() const { return fast_bf16_; }
  /// Whether those of bf16 go by tiles.
  bool with_tiles() const { return with_tiles_; }
  const dnnl::engine& engine() const { return engine_; }

 private:
  // The ways to multiply, all with run_mutex_ held.  Those with a Write add to what c holds.
  /// b fits into packed_, and is packed.
  void multiply_packed(const Factor& a, const Factor& b, ConstView bias, ConstView added, View c);
  /// b has more rows than fit into packed_: the sum of the products of some of them.
  void multiply_summed(const Factor& a, const Factor& b, ConstView bias, View c, Write mode);
  /// The second factor is in packed_.
  void multiply_by_tiles(const Factor& a, ConstView bias, ConstView added, View c);
  /// b as it lies.
  void multiply_plain(const Factor& a, const Factor& b, ConstView bias, View c, Write mode);
  /// gemm_converted.cpp
  void multiply_converted(const Factor& a, const Factor& b, ConstView bias, View c, Write mode);
  /// Has c hold what the result is added to, and says so.
  Write added_in_place(ConstView added, View c) const;
  void run(std::shared_ptr<const Product> product, const void* a, const void* b, const void* bias, void* c);
  /// Of packed_.
  int64_t block_cols() const;

  Device& device_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  const bool with_tiles_;
  bool fast_bf16_ = false;

  using Use = std::pair<ProductShape, std::shared_ptr<const Product>>;
  std::mutex products_mutex_;  // guards products_ and by_shape_
  std::list<Use> products_;    // the last used first
  std::map<ProductShape, std::list<Use>::iterator> by_shape_;

  std::mutex run_mutex_;  // guards the scratch memory and the stream while a product runs
  Buffer scratch_;
  Buffer packed_;       // a piece of b
  Buffer packed_rows_;  // some rows of a for each thread
  Buffer sums_;         // of the products of pieces, fp32
  Buffer converted_;    // pieces of a, b and c
};

}  // namespace tessera
