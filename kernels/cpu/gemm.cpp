#include "kernels/cpu/gemm.h"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string_view>

#include "base/number.h"
#include "device/parallel.h"
#include "kernels/cpu/bf16_tiles.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/pack_factor.h"

namespace tessera {
namespace {

using dnnl::memory;

/// Enough for every shape of a step, with a head in several chunks; a compiled product holds some 100 KiB of code.
constexpr size_t products_kept = 192;

memory::data_type type_of(DType dtype) {
  return dtype == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

/// The piece of b that is packed and multiplied at once stays in the caches from the one to the other.
constexpr int64_t most_packed = 4 << 20;

/// Blocks of b as oneDNN takes them.
constexpr int64_t onednn_block_cols = 64;

/// Columns of that piece where all rows of a column are too many for it: with more, it would have few rows, and the
/// sums of its products would be passed over more often.
constexpr int64_t summed_cols = 1024;

/// Rows of a that are multiplied by the whole piece of b stay in the second-level cache meanwhile.
constexpr int64_t most_rows_bytes = 384 << 10, most_rows = 192;

/// Without it oneDNN packs b again for each few hundred rows of a, and multiplies odd numbers of rows more slowly.
bool worth_packing(const Factor& a) {
  constexpr int64_t least_rows = 128;  // what packing costs is gained back
  return a.view.dtype == DType::bf16 && a.rows() >= least_rows;
}

memory::desc describe(int64_t rows, int64_t cols, int64_t stride, bool transposed, DType dtype) {
  return {{rows, cols}, type_of(dtype), transposed ? memory::dims{1, stride} : memory::dims{stride, 1}};
}

/// oneDNN plans for as many threads as OpenMP offers where a product is made.
class ThreadsWhilePlanning {
 public:
  explicit ThreadsWhilePlanning(bool one_thread) : before_(omp_get_max_threads()) {
    if (one_thread) omp_set_num_threads(1);
  }
  ~ThreadsWhilePlanning() { omp_set_num_threads(before_); }
  ThreadsWhilePlanning(const ThreadsWhilePlanning&) = delete;
  ThreadsWhilePlanning& operator=(const ThreadsWhilePlanning&) = delete;

 private:
  int before_;
};

}  // namespace

ProductShape shape_of(const Factor& a, const Factor& b, ConstView bias, View c, Write mode) {
  return {.M = c.rows,
          .N = c.cols,
          .K = a.cols(),
          .a_stride = a.view.row_stride,
          .b_stride = b.view.row_stride,
          .c_stride = c.row_stride,
          .a_transposed = a.transposed,
          .b_transposed = b.transposed,
          .factors = a.view.dtype,
          .result = c.dtype,
          .with_bias = static_cast<bool>(bias),
          .accumulate = mode == Write::accumulate,
          .one_thread = false};
}

Product::Product(const dnnl::engine& engine, const ProductShape& s)
    : a_(describe(s.M, s.K, s.a_stride, s.a_transposed, s.factors)),
      b_(s.b_packed ? memory::desc({s.K, s.N}, type_of(s.factors), memory::format_tag::BA16a64b2a)
                    : describe(s.K, s.N, s.b_stride, s.b_transposed, s.factors)),
      c_(describe(s.M, s.N, s.c_stride, false, s.result)) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (s.accumulate) {
    dnnl::post_ops operations;
    operations.append_sum(1.0f);
    attributes.set_post_ops(operations);
  }
  if (s.with_bias) bias_ = memory::desc({1, s.N}, type_of(s.factors), memory::dims{s.N, 1});
  const dnnl::matmul::desc desc = s.with_bias ? dnnl::matmul::desc(a_, b_, bias_, c_) : dnnl::matmul::desc(a_, b_, c_);

  const ThreadsWhilePlanning threads(s.one_thread);
  const dnnl::matmul::primitive_desc plan(desc, attributes, engine, true);
  if (!plan) return;
  // What oneDNN offers for bf16 besides its brgemm kernels is several times slower than converting to fp32.
  if (s.factors == DType::bf16 && !std::string_view(plan.impl_info_str()).starts_with("brg")) return;
  scratch_ = plan.scratchpad_desc();
  scratch_bytes_ = static_cast<int64_t>(scratch_.get_size());
  primitive_ = dnnl::matmul(plan);
}

BoundProduct::BoundProduct(const dnnl::engine& engine, std::shared_ptr<const Product> product)
    : product_(std::move(product)) {
  const auto bind = [&](const memory::desc& desc, int argument) {
    if (desc.is_zero()) return memory();
    memory bound(desc, engine, nullptr);
    arguments_.push_back({argument, bound.get()});
    return bound;
  };
  a_ = bind(product_->a_, DNNL_ARG_SRC);
  b_ = bind(product_->b_, DNNL_ARG_WEIGHTS);
  c_ = bind(product_->c_, DNNL_ARG_DST);
  bias_ = bind(product_->bias_, DNNL_ARG_BIAS);
  scratch_ = bind(product_->scratch_, DNNL_ARG_SCRATCHPAD);
}

void BoundProduct::run(const dnnl::stream& stream, const void* a, const void* b, const void* bias, void* c,
                       void* scratch) {
  // oneDNN takes no const addresses, and writes to none of the factors.
  const auto point = [](memory& bound, const void* to) {
    if (bound) bound.set_data_handle(const_cast<void*>(to));
  };
  point(a_, a);
  point(b_, b);
  point(c_, c);
  point(bias_, bias);
  point(scratch_, scratch);
  // The C interface: that of C++ makes a map of the arguments at every call.
  dnnl::error::wrap_c_api(dnnl_primitive_execute(product_->primitive_.get(), stream.get(),
                                                 static_cast<int>(arguments_.size()), arguments_.data()),
                          "a matrix product failed");
}

bool CpuGemm::has_tiles() { return dnnl::get_effective_cpu_isa() == dnnl::cpu_isa::avx512_core_bf16; }

CpuGemm::CpuGemm(Device& device, bool with_tiles)
    : device_(device), engine_(dnnl::engine::kind::cpu, 0), stream_(engine_), with_tiles_(with_tiles) {
  dnnl::set_primitive_cache_capacity(0);  // products_ is the one cache, so that what it drops is freed
  fast_bf16_ = product({64, 64, 64, 64, 64, 64, false, false, DType::bf16, DType::f32, false, false, true})->exists();
}

int64_t CpuGemm::block_cols() const { return with_tiles_ ? tile_cols : onednn_block_cols; }

std::shared_ptr<const Product> CpuGemm::product(const ProductShape& shape) {
  const std::lock_guard lock(products_mutex_);
  const auto found = by_shape_.find(shape);
  if (found != by_shape_.end()) {
    products_.splice(products_.begin(), products_, found->second);
    return found->second->second;
  }
  products_.emplace_front(shape, std::make_shared<const Product>(engine_, shape));
  by_shape_[shape] = products_.begin();
  if (products_.size() > products_kept) {
    by_shape_.erase(products_.back().first);
    products_.pop_back();
  }
  return products_.front().second;
}

void CpuGemm::run(std::shared_ptr<const Product> product, const void* a, const void* b, const void* bias, void* c) {
  if (product->scratch_bytes() > scratch_.bytes()) {
    scratch_.reset();
    scratch_ = Buffer(device_, product->scratch_bytes(), "the scratch memory of matrix products");
  }
  BoundProduct(engine_, std::move(product)).run(stream_, a, b, bias, c, scratch_.data());
}

Write CpuGemm::added_in_place(ConstView added, View c) const {
  if (!added) return Write::overwrite;
  if (added.data != c.data)
    parallel_for(cpu_threads(device_), c.rows, 64, [&](int64_t begin, int64_t end) {
      convert(added.rows_from(begin, end - begin), c.rows_from(begin, end - begin));
    });
  return Write::accumulate;
}

void CpuGemm::multiply(const Factor& a, const Factor& b, ConstView bias, ConstView added, View c) {
  if (a.rows() != c.rows || b.cols() != c.cols || a.cols() != b.rows() || a.view.dtype != b.view.dtype) {
    throw std::logic_error(fmt::format("a product of matrices that do not fit: [{}, {}] {} x [{}, {}] {} -> [{}, {}]",
                                       a.rows(), a.cols(), name_of(a.view.dtype), b.rows(), b.cols(),
                                       name_of(b.view.dtype), c.rows, c.cols));
  }
  if (added && (added.rows != c.rows || added.cols != c.cols || added.dtype != c.dtype)) {
    throw std::logic_error(fmt::format("a matrix [{}, {}] {} cannot be added to a product [{}, {}] {}", added.rows,
                                       added.cols, name_of(added.dtype), c.rows, c.cols, name_of(c.dtype)));
  }
  if (c.rows == 0 || c.cols == 0) return;
  if (a.cols() == 0) {  // a sum of nothing
    if (added) added_in_place(added, c);
    for (int64_t row = 0; !added && row < c.rows; ++row)
      std::memset(c.rows_from(row, 1).data, 0, static_cast<size_t>(c.cols * size_of(c.dtype)));
    return;
  }
  const std::lock_guard lock(run_mutex_);
  if (a.view.dtype == DType::bf16 && !fast_bf16_) return multiply_converted(a, b, bias, c, added_in_place(added, c));
  if (!worth_packing(a)) return multiply_plain(a, b, bias, c, added_in_place(added, c));
  const int64_t packed_cols = most_packed / packed_bytes(b.rows(), block_cols(), block_cols()) * block_cols();
  const bool summed = packed_cols == 0;
  const int64_t at_once = summed ? summed_cols : packed_cols;
  for (int64_t first = 0; first < c.cols; first += at_once) {
    const int64_t cols = std::min(at_once, c.cols - first);
    const Factor piece = b.cols_from(first, cols);
    const ConstView bias_piece = bias ? bias.cols_from(first, cols) : bias;
    const ConstView added_piece = added ? added.cols_from(first, cols) : added;
    const View c_piece = c.cols_from(first, cols);
    if (summed) {
      multiply_summed(a, piece, bias_piece, c_piece, added_in_place(added_piece, c_piece));
    } else {
      multiply_packed(a, piece, bias_piece, added_piece, c_piece);
    }
  }
}

void CpuGemm::multiply_summed(const Factor& a, const Factor& b, ConstView bias, View c, Write mode) {
  const bool in_place = c.dtype == DType::f32;
  if (!in_place && sums_.bytes() < c.size() * 4) {
    sums_.reset();
    sums_ = Buffer(device_, c.size() * 4, "the sums of a matrix product");
  }
  const View sums = in_place ? c : View(sums_.data(), DType::f32, c.rows, c.cols);
  const Write first_mode = in_place ? mode : Write::overwrite;
  const int64_t at_once = most_packed / packed_bytes(packed_row_granule, c.cols, block_cols()) * packed_row_granule;
  for (int64_t first = 0; first < b.rows(); first += at_once) {
    const int64_t rows = std::min(at_once, b.rows() - first);
    multiply_packed(a.cols_from(first, rows), b.rows_from(first, rows), first == 0 ? bias : ConstView(),
                    addend(sums, first == 0 ? first_mode : Write::accumulate), sums);
  }
  if (in_place) return;
  parallel_for(cpu_threads(device_), c.rows, 64, [&](int64_t begin, int64_t end) {
    const auto write = mode == Write::accumulate ? convert_add : convert;
    write(sums.rows_from(begin, end - begin), c.rows_from(begin, end - begin));
  });
}

void CpuGemm::multiply_packed(const Factor& a, const Factor& b, ConstView bias, ConstView added, View c) {
  std::shared_ptr<const Product> compiled;
  if (!with_tiles_) {
    const Write mode = added_in_place(added, c);
    ProductShape shape = shape_of(a, b, bias, c, mode);
    shape.b_packed = true;
    shape.b_transposed = false;
    shape.b_stride = 0;
    compiled = product(shape);
    if (!compiled->exists()) return multiply_plain(a, b, bias, c, mode);
  }
  if (!packed_.data()) packed_ = Buffer(device_, most_packed, "the packed factor of matrix products");
  pack_factor(cpu_threads(device_), b.view, b.transposed, block_cols(), packed_.data());
  if (with_tiles_) return multiply_by_tiles(a, bias, added, c);
  run(compiled, a.view.data, packed_.data(), bias.data, c.data);
}

void CpuGemm::multiply_by_tiles(const Factor& a, ConstView bias, ConstView added, View c) {
  const int64_t M = c.rows, K = a.cols();
  const int threads = cpu_threads(device_);
  const int64_t in_cache = std::clamp(most_rows_bytes / (K * size_of(DType::bf16)), tile_rows, most_rows);
  const int64_t at_once = std::min(in_cache / tile_rows * tile_rows, round_up(ceil_div(M, threads), tile_rows));
  const int64_t rows_bytes = pairing_bytes(a.rows_from(0, at_once));
  if (packed_rows_.bytes() < rows_bytes * threads) {
    packed_rows_.reset();
    packed_rows_ = Buffer(device_, rows_bytes * threads, "the packed rows of matrix products");
  }
  parallel_for(threads, ceil_div(M, at_once), 1, [&](int64_t begin, int64_t end) {
    char* scratch = packed_rows_.as<char>() + omp_get_thread_num() * rows_bytes;
    for (int64_t first = begin * at_once; first < std::min(end * at_once, M); first += at_once) {
      const int64_t count = std::min(at_once, M - first);
      multiply_tiles(pair_rows(a.rows_from(first, count), scratch), K, packed_cols(packed_.data(), K), bias.data,
                     added ? added.rows_from(first, count) : added, c.rows_from(first, count));
    }
  });
}

void CpuGemm::multiply_plain(const Factor& a, const Factor& b, ConstView bias, View c, Write mode) {
  const auto compiled = product(shape_of(a, b, bias, c, mode));
  if (!compiled->exists()) return multiply_converted(a, b, bias, c, mode);
  run(compiled, a.view.data, b.view.data, bias.data, c.data);
}

}  // namespace tessera
