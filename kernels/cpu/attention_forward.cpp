#include <cmath>
#include <limits>

#include "kernels/cpu/attention_work.h"

namespace tessera {

/// Dao et al. 2022 (FlashAttention), algorithm 1, with the loop over queries outside.
class CpuAttention::ForwardWork : private Work {
 public:
  ForwardWork(CpuAttention& attention, Memory& memory, const Kernels::AttentionShape& shape,
              const AttentionForward& tensors, int64_t longest)
      : Work(attention, memory, shape, tensors.q.dtype), tensors_(tensors) {
    lay_out([&](Pieces& pieces) { cut(pieces, longest); });
  }

  void run(const AttentionTask& task, int part, int parts) {
    pack_keys(task, tensors_.k, k_);
    pack_keys(task, tensors_.v, v_);
    for_queries(task, part, parts, [&](const AttentionBlock& block) { run_block(task, block); });
  }

 private:
  void cut(Pieces& pieces, int64_t longest) {
    const int64_t element = size_of(type_), rows = most_rows(), keys = most_keys(longest), D = shape_.D;
    pieces.take(k_, padded_length(longest) * D * element);
    pieces.take(v_, padded_length(longest) * D * element);
    pieces.take(q_, rows * D * element);
    pieces.take(scores_, rows * keys * 4);
    pieces.take(probabilities_, rows * keys * element);
    pieces.take(output_, rows * D * 4);
    pieces.take(row_max_, rows * 4);
    pieces.take(row_sum_, rows * 4);
  }

  void run_block(const AttentionTask& task, const AttentionBlock& queries) {
    pack_queries(task, queries, tensors_.q, q_);
    std::fill_n(row_max_, queries.heads * queries.padded_rows, -std::numeric_limits<float>::infinity());
    std::fill_n(row_sum_, queries.heads * queries.padded_rows, 0.0f);
    Write mode = Write::overwrite;
    for_chunks(queries, [&](const AttentionBlock& block) {
      multiply(queries_of(block, q_, block.D), transpose(keys_of(block, k_)), scores_, Write::overwrite);
      online_softmax(block, scores_, probabilities_, row_max_, row_sum_, mode == Write::overwrite ? nullptr : output_);
      multiply(queries_of(block, probabilities_, block.keys), keys_of(block, v_), output_, mode);
      mode = Write::accumulate;
    });
    for_rows(task, queries, [&](int64_t row, int64_t token, int64_t head) {
      const View out = head_of(tensors_.out, token, 1, head);
      scale_row(output_ + row * shape_.D, 1 / row_sum_[row], out.data, out.dtype, shape_.D);
      tensors_.log_sum_exp[token * shape_.H + head] = row_max_[row] + std::log(row_sum_[row]);
    });
  }

  const AttentionForward tensors_;
  void *k_, *v_, *q_, *probabilities_;
  float *scores_, *output_, *row_max_, *row_sum_;
};

void CpuAttention::forward(const Kernels::AttentionShape& shape, const AttentionForward& tensors) {
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
