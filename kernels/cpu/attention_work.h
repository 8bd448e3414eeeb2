#pragma once
#include <algorithm>
#include <exception>
#include <vector>

#include "base/number.h"
#include "device/parallel.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/attention_softmax.h"

namespace tessera {

/// f(worker) for the workers 0 … count-1, each on a thread of its own; throws the first exception of them.
template <typename F>
void on_workers(int count, const F& f) {
  std::vector<std::exception_ptr> failures(static_cast<size_t>(count));
  parallel_for(count, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker) {
      try {
        f(static_cast<int>(worker));
      } catch (...) {
        failures[static_cast<size_t>(worker)] = std::current_exception();
      }
    }
  });
  for (const auto& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

/// The pieces of one allocation, one after another, each aligned.  Without memory it only counts.
class Pieces {
 public:
  explicit Pieces(void* memory) : memory_(static_cast<char*>(memory)) {}
  template <typename T>
  void take(T*& piece, int64_t bytes) {
    piece = memory_ == nullptr ? nullptr : static_cast<T*>(static_cast<void*>(memory_ + taken_));
    taken_ += round_up(bytes, 64);
  }
  int64_t taken() const { return taken_; }

 private:
  char* memory_;
  int64_t taken_ = 0;
};

/// One thread's part in one call.
class CpuAttention::Work {
 protected:
  Work(CpuAttention& attention, Memory& memory, const Kernels::AttentionShape& shape, DType dtype);

  /// Lays out this thread's memory as cut(pieces) takes it, made larger where that is more than it has.
  template <typename F>
  void lay_out(const F& cut);

  /// A dense matrix of type_, or its transpose.
  struct Dense {
    const void* data;
    int64_t rows, cols;
    bool transposed = false;
  };
  static Dense transpose(const Dense& matrix) { return {matrix.data, matrix.rows, matrix.cols, true}; }
  /// c = (or +=) a · b; c dense, fp32.
  void multiply(const Dense& a, const Dense& b, float* c, Write mode);

  /// f(block) for the part's blocks of the task's queries, without keys yet.  Blocks are dealt to the parts in turn:
  /// later ones see more keys.
  template <typename F>
  void for_queries(const AttentionTask& task, int part, int parts, const F& f) const;
  /// f(block) with each chunk of keys that the queries of the block see, in order.
  template <typename F>
  void for_chunks(AttentionBlock block, const F& f) const;
  /// f(row, token, head) for the heads of the block: the first row in the block's matrices, the first token of the
  /// batch, the head of H.
  template <typename F>
  void for_heads(const AttentionTask& task, const AttentionBlock& block, const F& f) const;
  /// The same for every query.
  template <typename F>
  void for_rows(const AttentionTask& task, const AttentionBlock& block, const F& f) const;

  /// The task's columns of k or v as a dense matrix [padded length, D], zero beyond the document.
  void pack_keys(const AttentionTask& task, const ConstView& from, void* to) const;
  /// The block's rows of a tensor [T, H·D] as a dense matrix [heads · padded_rows, D], zero where there is no query.
  void pack_queries(const AttentionTask& task, const AttentionBlock& block, const ConstView& from, void* to) const;

  template <typename V>
  V head_of(const V& tensor, int64_t token, int64_t count, int64_t head) const {
    return tensor.rows_from(token, count).cols_from(head * shape_.D, shape_.D);
  }
  /// The block's keys in what pack_keys made.
  Dense keys_of(const AttentionBlock& block, const void* packed) const {
    return {static_cast<const char*>(packed) + block.first_key * shape_.D * size_of(type_), block.keys, shape_.D};
  }
  Dense queries_of(const AttentionBlock& block, const void* packed, int64_t cols) const {
    return {packed, block.heads * block.padded_rows, cols};
  }

  static int64_t padded_length(int64_t length) { return round_up(length, key_granule); }
  /// Elements of the largest matrices: queries · D, queries · keys, and keys · D for a whole document.
  int64_t most_rows() const { return heads_ * query_rows_; }
  int64_t most_keys(int64_t longest) const { return std::min(chunk_keys, padded_length(longest)); }

  static constexpr int64_t key_granule = 64;  // few lengths of chunks, so few products to compile
  static constexpr int64_t chunk_keys = 256;  // the matrices of a block stay in the second-level cache

  const Kernels::AttentionShape shape_;
  const DType type_;          // of the products' factors
  const int64_t heads_;       // query heads of a key/value head
  const int64_t query_rows_;  // of a block, at most

 private:
  Device& device_;
  Memory& memory_;
  CpuGemm& gemm_;
  dnnl::stream stream_;
  std::vector<std::pair<ProductShape, BoundProduct>> products_;  // those of this call so far: some dozen
};

template <typename F>
void CpuAttention::Work::lay_out(const F& cut) {
  Pieces count(nullptr);
  cut(count);
  if (memory_.blocks.bytes() < count.taken()) {
    memory_.blocks.reset();
    memory_.blocks = Buffer(device_, count.taken(), "the blocks of attention");
  }
  Pieces pieces(memory_.blocks.data());
  cut(pieces);
}

template <typename F>
void CpuAttention::Work::for_queries(const AttentionTask& task, int part, int parts, const F& f) const {
  for (int64_t first = part * query_rows_; first < task.length; first += parts * query_rows_) {
    const int64_t rows = std::min(query_rows_, task.length - first);
    f(AttentionBlock{.type = type_,
                     .heads = heads_,
                     .rows = rows,
                     .padded_rows = round_up(rows, std::min<int64_t>(query_rows_, 32)),
                     .D = shape_.D,
                     .keys = 0,
                     .first_query = first,
                     .first_key = 0,
                     .window = shape_.window,
                     .scale = shape_.scale});
  }
}

template <typename F>
void CpuAttention::Work::for_chunks(AttentionBlock block, const F& f) const {
  const int64_t end = block.first_query + block.rows;  // causal: one beyond the last key that anybody here sees
  const int64_t oldest = block.window > 0 ? std::max<int64_t>(block.first_query - block.window + 1, 0) : 0;
  for (int64_t first = oldest / key_granule * key_granule; first < end; first += chunk_keys) {
    block.first_key = first;
    block.keys = round_up(std::min(chunk_keys, end - first), key_granule);
    f(block);
  }
}

template <typename F>
void CpuAttention::Work::for_heads(const AttentionTask& task, const AttentionBlock& block, const F& f) const {
  for (int64_t head = 0; head < block.heads; ++head)
    f(head * block.padded_rows, task.begin + block.first_query, task.key_head * block.heads + head);
}

template <typename F>
void CpuAttention::Work::for_rows(const AttentionTask& task, const AttentionBlock& block, const F& f) const {
  for_heads(task, block, [&](int64_t row, int64_t token, int64_t head) {
    for (int64_t i = 0; i < block.rows; ++i) f(row + i, token + i, head);
  });
}

}  // namespace tessera
