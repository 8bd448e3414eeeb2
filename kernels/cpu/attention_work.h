#pragma once
#include <algorithm>
#include <exception>
#include <vector>

#include "base/number.h"
#include "device/parallel.h"
#include "kernels/cpu/attention_passes.h"
#include "kernels/cpu/attention_products.h"
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

/// How a pass cuts documents.
struct AttentionBlocking {
  int64_t queries;      // of a block, at most
  int64_t row_granule;  // a block's rows are filled up to a multiple of it
  int64_t chunk_keys;   // of a block, at most
  int64_t key_granule;  // its keys are filled up to a multiple of it
};
/// Queries of a block of some 200 rows, which make a product efficient; more would waste more on what is masked at the
/// diagonal.
int64_t queries_of_a_block(int64_t heads);

/// One thread's part in one call.
class CpuAttention::Work {
 protected:
  /// with_tiles: how the pass cuts where products go by tiles, for a number of query heads of a key/value head.
  Work(CpuAttention& attention, Memory& memory, const AttentionShape& shape, DType dtype,
       AttentionBlocking (*with_tiles)(int64_t heads));

  /// Lays out this thread's memory as cut(pieces) takes it, made larger where that is more than it has.
  template <typename F>
  void lay_out(const F& cut);

  /// f(block) for the part's blocks of the task's queries, without keys yet.  Blocks are dealt to the parts in turn:
  /// later ones see more keys.
  template <typename F>
  void for_queries(const AttentionTask& task, int part, int parts, const F& f) const;
  /// f(block) with each chunk of keys that the queries of the block see, in order.
  template <typename F>
  void for_chunks(AttentionBlock block, const F& f) const;
  /// f(row, token, head) for every row of the block's matrices with a query: the token of the batch, the head of H.
  template <typename F>
  void for_rows(const AttentionTask& task, const AttentionBlock& block, const F& f) const;

  /// The task's columns of k or v as a dense matrix [padded length, D], zero beyond the document.
  ConstView dense_keys(const AttentionTask& task, const ConstView& from, void* to) const;
  /// The block's part of a tensor [T, H·D] as a dense matrix [rows, D], zero where there is no query.
  ConstView dense_queries(const AttentionTask& task, const AttentionBlock& block, const ConstView& from,
                          void* to) const;
  /// The block's part of a tensor [T, H·D], [queries, heads·D].
  template <typename V>
  V queries_of(const AttentionTask& task, const AttentionBlock& block, const V& tensor) const {
    const int64_t width = block.heads * block.D;
    return tensor.rows_from(task.begin + block.first_query, block.queries).cols_from(task.key_head * width, width);
  }
  template <typename V>
  V head_of(const V& tensor, int64_t token, int64_t count, int64_t head) const {
    return tensor.rows_from(token, count).cols_from(head * shape_.D, shape_.D);
  }

  int64_t padded_length(int64_t length) const { return round_up(length, blocking_.key_granule); }
  /// Rows, and keys, of the largest matrices of a block.
  int64_t most_rows() const { return round_up(heads_ * blocking_.queries, blocking_.row_granule); }
  int64_t most_keys(int64_t longest) const { return std::min(blocking_.chunk_keys, padded_length(longest)); }

  const AttentionShape shape_;
  const int64_t heads_;  // query heads of a key/value head
  AttentionProducts products_;
  const AttentionBlocking blocking_;

 private:
  Device& device_;
  Memory& memory_;
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
  for (int64_t first = part * blocking_.queries; first < task.length; first += parts * blocking_.queries) {
    const int64_t queries = std::min(blocking_.queries, task.length - first);
    f(AttentionBlock{.type = products_.type(),
                     .heads = heads_,
                     .queries = queries,
                     .rows = round_up(heads_ * queries, blocking_.row_granule),
                     .D = shape_.D,
                     .keys = 0,
                     .first_query = first,
                     .first_key = 0,
                     .window = shape_.window,
                     .scale = shape_.scale,
                     .softcap = shape_.softcap});
  }
}

template <typename F>
void CpuAttention::Work::for_chunks(AttentionBlock block, const F& f) const {
  const int64_t end = block.first_query + block.queries;  // causal: one beyond the last key that anybody here sees
  const int64_t oldest = block.window > 0 ? std::max<int64_t>(block.first_query - block.window + 1, 0) : 0;
  for (int64_t first = oldest / blocking_.key_granule * blocking_.key_granule; first < end;
       first += blocking_.chunk_keys) {
    block.first_key = first;
    block.keys = round_up(std::min(blocking_.chunk_keys, end - first), blocking_.key_granule);
    f(block);
  }
}

template <typename F>
void CpuAttention::Work::for_rows(const AttentionTask& task, const AttentionBlock& block, const F& f) const {
  for (int64_t query = 0; query < block.queries; ++query)
    for (int64_t head = 0; head < block.heads; ++head)
      f(query * block.heads + head, task.begin + block.first_query + query, task.key_head * block.heads + head);
}

}  // namespace tessera
