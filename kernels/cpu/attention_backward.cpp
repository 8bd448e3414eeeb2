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
  BackwardWork(CpuAttention& attention, Memory& memory, const Kernels::AttentionShape& shape,
               const AttentionBackward& tensors, int64_t longest)
      : Work(attention, memory, shape, tensors.q.dtype), tensors_(tensors) {
    lay_out([&](Pieces& pieces) { cut(pieces, longest); });
  }

  /// The gradients of the part's queries; those of the keys stay here.
  void run(const AttentionTask& task, int part, int parts) {
    pack_keys(task, tensors_.k, k_);
    pack_keys(task, tensors_.v, v_);
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
  View summed(float* sums, int64_t begin, int64_t end) const {
    return {sums + begin * shape_.D, DType::f32, end - begin, shape_.D};
  }

  void cut(Pieces& pieces, int64_t longest) {
    const int64_t element = size_of(type_), rows = most_rows(), keys = most_keys(longest), D = shape_.D;
    pieces.take(k_, padded_length(longest) * D * element);
    pieces.take(v_, padded_length(longest) * D * element);
    pieces.take(dk_, padded_length(longest) * D * 4);
    pieces.take(dv_, padded_length(longest) * D * 4);
    pieces.take(q_, rows * D * element);
    pieces.take(dout_, rows * D * element);
    pieces.take(dq_, rows * D * 4);
    pieces.take(scores_, rows * keys * 4);
    pieces.take(d_probabilities_, rows * keys * 4);
    pieces.take(probabilities_, rows * keys * element);
    pieces.take(d_scores_, rows * keys * element);
    pieces.take(log_sum_exp_, rows * 4);
    pieces.take(delta_, rows * 4);
  }

  void run_block(const AttentionTask& task, const AttentionBlock& queries) {
    pack_queries(task, queries, tensors_.q, q_);
    pack_queries(task, queries, tensors_.dout, dout_);
    gather_statistics(task, queries);
    Write mode = Write::overwrite;
    for_chunks(queries, [&](const AttentionBlock& block) {
      const Dense k = keys_of(block, k_), v = keys_of(block, v_);
      const Dense q = queries_of(block, q_, block.D), dout = queries_of(block, dout_, block.D);
      multiply(k, transpose(q), scores_, Write::overwrite);
      multiply(v, transpose(dout), d_probabilities_, Write::overwrite);
      softmax_backward(block, scores_, d_probabilities_, log_sum_exp_, delta_, probabilities_, d_scores_);
      const Dense probabilities{probabilities_, block.keys, q.rows}, d_scores{d_scores_, block.keys, q.rows};
      multiply(probabilities, dout, dv_ + block.first_key * block.D, Write::accumulate);
      multiply(d_scores, q, dk_ + block.first_key * block.D, Write::accumulate);
      multiply(transpose(d_scores), k, dq_, mode);
      mode = Write::accumulate;
    });
    for_heads(task, queries, [&](int64_t row, int64_t token, int64_t head) {
      convert(summed(dq_, row, row + queries.rows), head_of(tensors_.dq, token, queries.rows, head));
    });
  }

  /// log_sum_exp and delta = Σ dout·out of the block's queries; anything finite where there is no query.
  void gather_statistics(const AttentionTask& task, const AttentionBlock& block) {
    std::fill_n(log_sum_exp_, block.heads * block.padded_rows, 0.0f);
    std::fill_n(delta_, block.heads * block.padded_rows, 0.0f);
    for_rows(task, block, [&](int64_t row, int64_t token, int64_t head) {
      log_sum_exp_[row] = tensors_.log_sum_exp[token * shape_.H + head];
      delta_[row] = dot_row(head_of(tensors_.dout, token, 1, head).data, head_of(tensors_.out, token, 1, head).data,
                            tensors_.out.dtype, shape_.D);
    });
  }

  const AttentionBackward tensors_;
  void *k_, *v_, *q_, *dout_, *probabilities_, *d_scores_;
  float *dk_, *dv_, *dq_, *scores_, *d_probabilities_, *log_sum_exp_, *delta_;
};

void CpuAttention::backward(const Kernels::AttentionShape& shape, const AttentionBackward& tensors) {
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
