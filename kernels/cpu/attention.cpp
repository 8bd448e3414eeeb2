#include "kernels/cpu/attention.h"

#include <cstring>

#include "kernels/cpu/attention_work.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/cpu_kernels.h"

namespace tessera {
namespace {

/// Some 200 rows make a product efficient; a smaller block wastes less on what is masked at the diagonal.
int64_t rows_of_a_block(int64_t heads) { return heads == 1 ? 128 : heads <= 4 ? 64 : heads <= 8 ? 32 : 16; }

/// oneDNN has bf16 products of any size only for widths of whole vectors; other widths are multiplied in fp32.
DType type_of_products(const CpuGemm& gemm, const Kernels::AttentionShape& shape, DType dtype) {
  return dtype == DType::bf16 && gemm.fast_bf16() && shape.D % 16 == 0 ? DType::bf16 : DType::f32;
}

void set_zero(const View& view) {
  if (view.rows > 0) std::memset(view.data, 0, static_cast<size_t>(view.bytes()));
}

}  // namespace

AttentionTasks::AttentionTasks(const Kernels::AttentionShape& shape, int threads) {
  for (int64_t n = 0; n < shape.N; ++n) {
    const int64_t begin = shape.cu_seqlens[n], length = shape.cu_seqlens[n + 1] - begin;
    if (length == 0) continue;
    longest = std::max(longest, length);
    for (int64_t head = 0; head < shape.G; ++head) tasks.push_back({begin, length, head});
  }
  constexpr size_t enough = 4;  // tasks a thread: where there are fewer, some threads would wait for others
  if (tasks.size() < enough * static_cast<size_t>(threads)) parts = threads;
}

CpuAttention::CpuAttention(Device& device, CpuGemm& gemm)
    : device_(device), gemm_(gemm), threads_(cpu_threads(device)), memory_(static_cast<size_t>(threads_)) {}

CpuAttention::Work::Work(CpuAttention& attention, Memory& memory, const Kernels::AttentionShape& shape, DType dtype)
    : shape_(shape),
      type_(type_of_products(attention.gemm_, shape, dtype)),
      heads_(div_exact(shape.H, shape.G)),
      query_rows_(rows_of_a_block(heads_)),
      device_(attention.device_),
      memory_(memory),
      gemm_(attention.gemm_),
      stream_(attention.gemm_.engine()) {}

void CpuAttention::Work::multiply(const Dense& a, const Dense& b, float* c, Write mode) {
  const int64_t N = b.transposed ? b.rows : b.cols;
  const ProductShape shape{.M = a.transposed ? a.cols : a.rows,
                           .N = N,
                           .K = a.transposed ? a.rows : a.cols,
                           .a_stride = a.cols,
                           .b_stride = b.cols,
                           .c_stride = N,
                           .a_transposed = a.transposed,
                           .b_transposed = b.transposed,
                           .factors = type_,
                           .result = DType::f32,
                           .with_bias = false,
                           .accumulate = mode == Write::accumulate,
                           .one_thread = true};
  auto found = std::find_if(products_.begin(), products_.end(), [&](const auto& p) { return p.first == shape; });
  if (found == products_.end()) {
    auto product = gemm_.product(shape);
    if (!product->exists()) throw std::logic_error("oneDNN refuses a product of attention");
    if (memory_.products.bytes() < product->scratch_bytes()) {
      memory_.products.reset();
      memory_.products = Buffer(device_, product->scratch_bytes(), "the scratch memory of attention's products");
    }
    products_.emplace_back(shape, BoundProduct(gemm_.engine(), std::move(product)));
    found = products_.end() - 1;
  }
  found->second.run(stream_, a.data, b.data, nullptr, c, memory_.products.data());
}

void CpuAttention::Work::pack_keys(const AttentionTask& task, const ConstView& from, void* to) const {
  const View packed(to, type_, padded_length(task.length), shape_.D);
  convert(head_of(from, task.begin, task.length, task.key_head), packed.rows_from(0, task.length));
  set_zero(packed.rows_from(task.length, packed.rows - task.length));
}

void CpuAttention::Work::pack_queries(const AttentionTask& task, const AttentionBlock& block, const ConstView& from,
                                      void* to) const {
  const View packed(to, type_, block.heads * block.padded_rows, shape_.D);
  for_heads(task, block, [&](int64_t row, int64_t token, int64_t head) {
    convert(head_of(from, token, block.rows, head), packed.rows_from(row, block.rows));
    set_zero(packed.rows_from(row + block.rows, block.padded_rows - block.rows));
  });
}

void CpuKernels::attention_forward(Stream& stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                                   View out, float* log_sum_exp) {
  stream.enqueue([=, this] { attention_->forward(shape, {q, k, v, out, log_sum_exp}); });
}

void CpuKernels::attention_backward(Stream& stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                                    ConstView out, const float* log_sum_exp, ConstView dout, View dq, View dk,
                                    View dv) {
  stream.enqueue([=, this] { attention_->backward(shape, {q, k, v, out, log_sum_exp, dout, dq, dk, dv}); });
}

}  // namespace tessera
