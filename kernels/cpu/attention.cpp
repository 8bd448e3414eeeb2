#include <algorithm>
#include <vector>

#include "device/parallel.h"
#include "kernels/cpu/attention_passes.h"
#include "kernels/cpu/attention_softmax.h"
#include "kernels/cpu/cpu_kernels.h"

namespace tessera {
namespace {

class CpuAttentionKernels final : public AttentionKernels {
 public:
  CpuAttentionKernels(Device& device, std::shared_ptr<CpuGemm> gemm)
      : threads_(cpu_threads(device)), gemm_(std::move(gemm)), passes_(device, *gemm_) {}

 private:
  void enqueue_attention_forward(Stream& stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                                 View out, float* log_sum_exp) override {
    stream.enqueue([=, this] { passes_.forward(shape, {q, k, v, out, log_sum_exp}); });
  }
  void enqueue_attention_backward(Stream& stream, const AttentionShape& shape, ConstView q, ConstView k, ConstView v,
                                  ConstView out, const float* log_sum_exp, ConstView dout, View dq, View dk,
                                  View dv) override {
    stream.enqueue([=, this] { passes_.backward(shape, {q, k, v, out, log_sum_exp, dout, dq, dk, dv}); });
  }
  void enqueue_attention_decode(Stream& stream, const AttentionShape& shape, ConstView q, const View* k_cache,
                                const View* v_cache, const int64_t* length, View out) override {
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
          attend_one({q.dtype, D, seen, k.row_stride, v.row_stride, shape.scale, shape.softcap},
                     q.rows_from(sequence, 1).cols_from(head * D, D).data, k.data, v.data, scores.data(), sums.data(),
                     out.rows_from(sequence, 1).cols_from(head * D, D).data);
        }
      });
    });
  }

  const int threads_;
  const std::shared_ptr<CpuGemm> gemm_;
  CpuAttention passes_;
};

}  // namespace

std::unique_ptr<AttentionKernels> make_cpu_attention(Device& device, std::shared_ptr<CpuGemm> gemm) {
  return std::make_unique<CpuAttentionKernels>(device, std::move(gemm));
}

}  // namespace tessera
