#include <cstring>

#include "kernels/cpu/attention_work.h"
#include "kernels/cpu/convert.h"

namespace tessera {

/// Dao 2023 (FlashAttention-2), algorithm 2, with the loop over queries outside: the gradients of a document's keys and
/// values, which several query heads share, are summed in fp32 meanwhile, and those of a block of queries are done at
/// the end of its row.  Scores are made transposed, [keys, queries], so that only one product of five takes a
/// transpose.
class CpuAttention::BackwardWork : private Work {
 public:
  BackwardWork(CpuAttention& attention, Memory& memory, const AttentionShape& shape, const AttentionBackward& tensors,
               int64_t longest)
      : Work(attention, memory, shape, tensors.q.dtype, with_tiles), tensors_(tensors) {
    lay_out([&](Pieces& pieces) { cut(pieces, longest); });
  }

  /// The gradients of the part's queries; those of the keys stay here.
  void run(const AttentionTask& task, int part, int parts) {
    k_ = products_.prepare({dense_keys(task, tensors_.k, k_dense_)}, k_prepared_);
    v_ = dense_keys(task, tensors_.v, v_dense_);
    std::memset(dk_, 0, static_cast<size_t>(padded_length(task.length) * shape_.D * 4));
    std::memset(dv_, 0, static_cast<size_t>(padded_length(task.length) * shape_.D * 4));
    for_queries(task, part, parts, [&](const AttentionBlock& block) { run_block(task, block); });
  }

  /// Adds what another part found for the keys [begin, end).
  void add(const BackwardWork& other, int64_t begin, int64_t end) {
    convert_add(other.summed(other.dk_, begin, end), summed(dk_, begin, end));
    convert_add(other.summed(other.dv_, begin, end), summed(dv_, begin, end));
  }

  /// Writes the gradients of the task's keys [begin, end).
  void write_keys(const AttentionTask& task, int64_t begin, int64_t end) const {
    convert(summed(dk_, begin, end), head_of(tensors_.dk, task.begin + begin, end - begin, task.key_head));
    convert(summed(dv_, begin, end), head_of(tensors_.dv, task.begin + begin, end - begin, task.key_head));
  }

 private:
  /// Many queries, whose factors are prepared once, and few keys, with fewer rows beside the diagonal.
  static AttentionBlocking with_tiles(int64_t heads) {
    return {.queries = queries_of_a_block(heads),
            .row_granule = tile_cols,
            .chunk_keys = tile_cols,
            .key_granule = tile_cols};
  }

  View summed(float* sums, int64_t begin, int64_t end) const {
    return {sums + begin * shape_.D, DType::f32, end - begin, shape_.D};
  }

  void cut(Pieces& pieces, int64_t longest) {
    const int64_t element = size_of(products_.type()), rows = most_rows(), keys = most_keys(longest), D = shape_.D;
    const int64_t length = padded_length(longest);
    pieces.take(k_dense_, length * D * element);
    pieces.take(v_dense_, length * D * element);
    pieces.take(k_prepared_, products_.prepared_bytes(length, D));
    pieces.take(dk_, length * D * 4);
    pieces.take(dv_, length * D * 4);
    pieces.take(q_dense_, rows * D * element);
    pieces.take(dout_dense_, rows * D * element);
    pieces.take(q_prepared_, products_.prepared_bytes(rows, D));
    pieces.take(dout_prepared_, products_.prepared_bytes(rows, D));
    pieces.take(q_transposed_prepared_, products_.prepared_bytes(D, rows));
    pieces.take(dout_transposed_prepared_, products_.prepared_bytes(D, rows));
    pieces.take(dq_, rows * D * 4);
    pieces.take(scores_, rows * keys * 4);
    pieces.take(d_probabilities_, rows * keys * 4);
    pieces.take(probabilities_, rows * keys * element);
    pieces.take(d_scores_, rows * keys * element);
    pieces.take(log_sum_exp_, rows * 4);
    pieces.take(delta_, rows * 4);
  }

  void run_block(const AttentionTask& task, const AttentionBlock& queries) {
    prepare_queries(task, queries);
    gather_statistics(task, queries);
    const View dq(dq_, DType::f32, queries.rows, queries.D);
    Write mode = Write::overwrite;
    for_chunks(queries, [&](const AttentionBlock& block) {
      add_key_gradients(block);
      const ConstView d_scores(d_scores_, block.type, block.keys, block.rows);
      products_.multiply(transpose(d_scores), k_.rows_from(block.first_key, block.keys), dq, mode);
      mode = Write::accumulate;
    });
    convert(View(dq_, dq.dtype, queries.queries, queries.heads * queries.D), queries_of(task, queries, tensors_.dq));
  }

  void prepare_queries(const AttentionTask& task, const AttentionBlock& block) {
    const ConstView q = dense_queries(task, block, tensors_.q, q_dense_);
    const ConstView dout = dense_queries(task, block, tensors_.dout, dout_dense_);
    q_ = products_.prepare({q}, q_prepared_);
    dout_ = products_.prepare({dout}, dout_prepared_);
    q_transposed_ = products_.prepare(transpose(q), q_transposed_prepared_);
    dout_transposed_ = products_.prepare(transpose(dout), dout_transposed_prepared_);
  }

  /// Adds what the block's queries do to the gradients of its keys and values; leaves its d_scores.
  void add_key_gradients(const AttentionBlock& block) {
    const int64_t blind = blind_rows(block), count = block.rows - blind;
    const auto seeing = [&](auto* matrix, DType type) {
      return View(matrix, type, block.keys, block.rows).cols_from(blind, count);
    };
    const int64_t first = block.first_key, end = first + block.keys;
    const Factor k = k_.matrix.rows_from(first, block.keys), v{v_.rows_from(first, block.keys)};
    products_.multiply(k, q_transposed_.cols_from(blind, count), seeing(scores_, DType::f32), Write::overwrite);
    products_.multiply(v, dout_transposed_.cols_from(blind, count), seeing(d_probabilities_, DType::f32),
                       Write::overwrite);
    softmax_backward(block, scores_, d_probabilities_, log_sum_exp_, delta_, probabilities_, d_scores_);
    products_.multiply({seeing(probabilities_, block.type)}, dout_.rows_from(blind, count), summed(dv_, first, end),
                       Write::accumulate);
    products_.multiply({seeing(d_scores_, block.type)}, q_.rows_from(blind, count), summed(dk_, first, end),
                       Write::accumulate);
  }

  /// How many of the block's first rows, in whole tiles, come before all of its keys and so see none of them.
  int64_t blind_rows(const AttentionBlock& block) const {
    if (!products_.with_tiles()) return 0;
    const int64_t rows = (block.first_key - block.first_query) * block.heads;
    return std::clamp<int64_t>(rows / tile_cols * tile_cols, 0, block.rows);
  }

  /// log_sum_exp and delta = Σ dout·out of the block's queries; anything finite where there is no query.
  void gather_statistics(const AttentionTask& task, const AttentionBlock& block) {
    std::fill_n(log_sum_exp_, block.rows, 0.0f);
    std::fill_n(delta_, block.rows, 0.0f);
    for_rows(task, block, [&](int64_t row, int64_t token, int64_t head) {
      log_sum_exp_[row] = tensors_.log_sum_exp[token * shape_.H + head];
      delta_[row] = dot_row(head_of(tensors_.dout, token, 1, head).data, head_of(tensors_.out, token, 1, head).data,
                            tensors_.out.dtype, shape_.D);
    });
  }

  const AttentionBackward tensors_;
  AttentionProducts::Second k_;  // of the task
  ConstView v_;
  AttentionProducts::Second q_, q_transposed_, dout_, dout_transposed_;  // of the block
  void *k_dense_, *v_dense_, *q_dense_, *dout_dense_;
  void *k_prepared_, *q_prepared_, *q_transposed_prepared_, *dout_prepared_, *dout_transposed_prepared_;
  void *probabilities_, *d_scores_;
  float *dk_, *dv_, *dq_, *scores_, *d_probabilities_, *log_sum_exp_, *delta_;
};

void CpuAttention::backward(const AttentionShape& shape, const AttentionBackward& tensors) {
  const AttentionTasks work(shape, threads_);
  if (work.tasks.empty()) return;
  std::vector<BackwardWork> workers;
  for (Memory& memory : memory_) workers.emplace_back(*this, memory, shape, tensors, work.longest);

  if (work.parts == 1) {
    on_workers(threads_, [&](int worker) {
      auto& mine = workers[static_cast<size_t>(worker)];
      for (auto i = static_cast<size_t>(worker); i < work.tasks.size(); i += static_cast<size_t>(threads_)) {
        mine.run(work.tasks[i], 0, 1);
        mine.write_keys(work.tasks[i], 0, work.tasks[i].length);
      }
    });
    return;
  }
  for (const AttentionTask& task : work.tasks) {
    on_workers(work.parts, [&](int part) { workers[static_cast<size_t>(part)].run(task, part, work.parts); });
    parallel_for(threads_, task.length, 64, [&](int64_t begin, int64_t end) {
      for (size_t part = 1; part < workers.size(); ++part) workers[0].add(workers[part], begin, end);
      workers[0].write_keys(task, begin, end);
    });
  }
}

}  // namespace tessera
