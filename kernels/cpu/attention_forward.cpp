#include <cmath>
#include <limits>

#include "kernels/cpu/attention_work.h"

namespace tessera {

/// Dao et al. 2022 (FlashAttention), algorithm 1, with the loop over queries outside.
class CpuAttention::ForwardWork : private Work {
 public:
  ForwardWork(CpuAttention& attention, Memory& memory, const AttentionShape& shape, const AttentionForward& tensors,
              int64_t longest)
      : Work(attention, memory, shape, tensors.q.dtype, with_tiles), tensors_(tensors) {
    lay_out([&](Pieces& pieces) { cut(pieces, longest); });
  }

  void run(const AttentionTask& task, int part, int parts) {
    k_ = products_.prepare(transpose(dense_keys(task, tensors_.k, k_dense_)), k_prepared_);
    v_ = products_.prepare({dense_keys(task, tensors_.v, v_dense_)}, v_prepared_);
    for_queries(task, part, parts, [&](const AttentionBlock& block) { run_block(task, block); });
  }

 private:
  /// Scores and probabilities of three tiles' rows stay in the first-level cache.
  static AttentionBlocking with_tiles(int64_t heads) {
    return {.queries = std::max<int64_t>(3 * tile_rows / heads, 1),
            .row_granule = 1,
            .chunk_keys = 256,
            .key_granule = tile_cols};
  }

  void cut(Pieces& pieces, int64_t longest) {
    const int64_t element = size_of(products_.type()), rows = most_rows(), keys = most_keys(longest), D = shape_.D;
    const int64_t length = padded_length(longest);
    pieces.take(k_dense_, length * D * element);
    pieces.take(v_dense_, length * D * element);
    pieces.take(k_prepared_, products_.prepared_bytes(D, length));
    pieces.take(v_prepared_, products_.prepared_bytes(length, D));
    pieces.take(q_, rows * D * element);
    pieces.take(scores_, rows * keys * 4);
    pieces.take(probabilities_, rows * keys * element);
    pieces.take(output_, rows * D * 4);
    pieces.take(row_max_, rows * 4);
    pieces.take(row_sum_, rows * 4);
  }

  void run_block(const AttentionTask& task, const AttentionBlock& queries) {
    const ConstView q = dense_queries(task, queries, tensors_.q, q_);
    const View output(output_, DType::f32, queries.rows, queries.D);
    std::fill_n(row_max_, queries.rows, -std::numeric_limits<float>::infinity());
    std::fill_n(row_sum_, queries.rows, 0.0f);
    Write mode = Write::overwrite;
    for_chunks(queries, [&](const AttentionBlock& block) {
      const View scores(scores_, DType::f32, block.rows, block.keys);
      const View probabilities(probabilities_, block.type, block.rows, block.keys);
      products_.multiply({q}, k_.cols_from(block.first_key, block.keys), scores, Write::overwrite);
      online_softmax(block, scores_, probabilities_, row_max_, row_sum_, mode == Write::overwrite ? nullptr : output_);
      products_.multiply({probabilities}, v_.rows_from(block.first_key, block.keys), output, mode);
      mode = Write::accumulate;
    });
    for_rows(task, queries, [&](int64_t row, int64_t token, int64_t head) {
      const View out = head_of(tensors_.out, token, 1, head);
      scale_row(output_ + row * shape_.D, 1 / row_sum_[row], out.data, out.dtype, shape_.D);
      tensors_.log_sum_exp[token * shape_.H + head] = row_max_[row] + std::log(row_sum_[row]);
    });
  }

  const AttentionForward tensors_;
  AttentionProducts::Second k_, v_;  // of the task, the keys transposed
  void *k_dense_, *v_dense_, *k_prepared_, *v_prepared_, *q_, *probabilities_;
  float *scores_, *output_, *row_max_, *row_sum_;
};

void CpuAttention::forward(const AttentionShape& shape, const AttentionForward& tensors) {
  const AttentionTasks work(shape, threads_);
  const auto units = static_cast<int64_t>(work.tasks.size()) * work.parts;
  on_workers(threads_, [&](int worker) {
    if (worker >= units) return;
    ForwardWork mine(*this, memory_[static_cast<size_t>(worker)], shape, tensors, work.longest);
    for (int64_t unit = worker; unit < units; unit += threads_)
      mine.run(work.tasks[static_cast<size_t>(unit / work.parts)], static_cast<int>(unit % work.parts), work.parts);
  });
}

}  // namespace tessera
