#include <algorithm>
#include <vector>

#include "device/parallel.h"
#include "kernels/cpu/attention_softmax.h"
#include "kernels/cpu/cpu_kernels.h"

namespace tessera {

void CpuKernels::attention_decode(Stream& stream, const AttentionShape& shape, ConstView q, const View* k_cache,
                                  const View* v_cache, const int64_t* length, View out) {
  stream.enqueue([=, threads = threads_] {
    const int64_t D = shape.D, heads_of_key = shape.H / shape.G;
    parallel_for(threads, q.rows * shape.H, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> scores, sums(static_cast<size_t>(D));
      for (int64_t i = begin; i < end; ++i) {
        const int64_t sequence = i / shape.H, head = i % shape.H, column = head / heads_of_key * D;
        const int64_t seen = shape.window > 0 ? std::min(shape.window, length[sequence]) : length[sequence];
        const int64_t first = length[sequence] - seen;
        const ConstView k = k_cache[sequence].rows_from(first, seen).cols_from(column, D);
        const ConstView v = v_cache[sequence].rows_from(first, seen).cols_from(column, D);
        scores.resize(static_cast<size_t>(seen));
        attend_one(q.dtype, D, seen, k.row_stride, v.row_stride, shape.scale,
                   q.rows_from(sequence, 1).cols_from(head * D, D).data, k.data, v.data, scores.data(), sums.data(),
                   out.rows_from(sequence, 1).cols_from(head * D, D).data);
      }
    });
  });
}

}  // namespace tessera
