#include "kernels/cpu/attention_work.h"

#include <cstring>

#include "kernels/cpu/attention_passes.h"
#include "kernels/cpu/convert.h"

namespace tessera {
namespace {

/// Few sizes of blocks, so few products to compile, and matrices that stay in the second-level cache.
AttentionBlocking with_onednn(int64_t heads) {
  const int64_t queries = queries_of_a_block(heads);
  return {
      .queries = queries, .row_granule = heads * std::min<int64_t>(queries, 32), .chunk_keys = 256, .key_granule = 64};
}

/// oneDNN has bf16 products of any size only for widths of whole vectors; other widths are multiplied in fp32.
DType type_of_products(const CpuGemm& gemm, const AttentionShape& shape, DType dtype) {
  return dtype == DType::bf16 && gemm.fast_bf16() && shape.D % 16 == 0 ? DType::bf16 : DType::f32;
}

/// Of a contiguous matrix, the rows from `first` on.
void fill_zero_from(const View& matrix, int64_t first) {
  const View rest = matrix.rows_from(first, matrix.rows - first);
  if (rest.rows > 0) std::memset(rest.data, 0, static_cast<size_t>(rest.bytes()));
}

}  // namespace

AttentionTasks::AttentionTasks(const AttentionShape& shape, int threads) {
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

int64_t queries_of_a_block(int64_t heads) { return heads == 1 ? 128 : heads <= 4 ? 64 : heads <= 8 ? 32 : 16; }

CpuAttention::Work::Work(CpuAttention& attention, Memory& memory, const AttentionShape& shape, DType dtype,
                         AttentionBlocking (*with_tiles)(int64_t heads))
    : shape_(shape),
      heads_(div_exact(shape.H, shape.G)),
      products_(attention.device_, attention.gemm_, type_of_products(attention.gemm_, shape, dtype), memory.products),
      blocking_(products_.with_tiles() ? with_tiles(heads_) : with_onednn(heads_)),
      device_(attention.device_),
      memory_(memory) {}

ConstView CpuAttention::Work::dense_keys(const AttentionTask& task, const ConstView& from, void* to) const {
  const View dense(to, products_.type(), padded_length(task.length), shape_.D);
  convert(head_of(from, task.begin, task.length, task.key_head), dense.rows_from(0, task.length));
  fill_zero_from(dense, task.length);
  return dense;
}

ConstView CpuAttention::Work::dense_queries(const AttentionTask& task, const AttentionBlock& block,
                                            const ConstView& from, void* to) const {
  const View dense(to, products_.type(), block.rows, block.D);
  convert(queries_of(task, block, from), View(to, dense.dtype, block.queries, block.heads * block.D));
  fill_zero_from(dense, block.queries * block.heads);
  return dense;
}

}  // namespace tessera
