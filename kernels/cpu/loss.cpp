#include "device/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

// clang-format off: Highway reads this file once for each target, and its headers in this order
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/loss.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

#include <cmath>
#include <vector>

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

/// The largest of a row, and Σ e^(x - largest).
struct RowSum {
  float largest, sum;
};
HWY_INLINE RowSum sum_row(const float* x, int64_t V) {
  const Floats least = all(hwy::LowestValue<float>());
  const Floats larger = fold(
      V, least, [](Floats a, Floats b) { return hn::Max(a, b); },
      [&](int64_t i, auto span) { return keep(load(x + i, span), least, span); });
  const float largest = hn::GetLane(hn::MaxOfLanes(FloatTag(), larger));
  const float sum = sum_of(V, [&](int64_t i, auto span) {
    return keep(exp_of_negative(hn::Sub(load(x + i, span), all(largest))), all(0), span);
  });
  return {largest, sum};
}

/// d[i] = e^(x[i] - largest) / sum * scale, and less scale at the target.  d may begin where x does: what is written
/// there has been read, as no element of d is larger than one of x.
template <typename T>
HWY_INLINE void write_gradient(const float* x, int64_t V, int32_t target, RowSum row, float scale, T* d) {
  const float at_target = x[target];
  const Floats largest = all(row.largest), factor = all(scale / row.sum);
  for_each_vector(V, [&](int64_t i, auto span) {
    store_result(hn::Mul(exp_of_negative(hn::Sub(load(x + i, span), largest)), factor), d + i, span);
  });
  d[target] = static_cast<T>((std::exp(at_target - row.largest) / row.sum - 1) * scale);
}

}  // namespace

/// losses[t] = the cross-entropy of row t, 0 where its target is ignored, for rows [begin, end).
void cross_entropy_rows(ConstView logits, const int32_t* targets, float scale, View dlogits, double* losses,
                        int64_t begin, int64_t end) {
  const int64_t V = logits.cols;
  with_compute_type(dlogits.dtype, [&](auto type) {
    using T = decltype(type);
    for (int64_t t = begin; t < end; ++t) {
      const float* x = logits.as<float>() + t * logits.row_stride;
      T* d = dlogits ? dlogits.as<T>() + t * dlogits.row_stride : nullptr;
      if (targets[t] < 0) {
        losses[t] = 0;
        if (d != nullptr) std::memset(static_cast<void*>(d), 0, static_cast<size_t>(V) * sizeof(T));
        continue;
      }
      const RowSum row = sum_row(x, V);
      losses[t] = std::log(static_cast<double>(row.sum)) + (static_cast<double>(row.largest) - x[targets[t]]);
      if (d != nullptr) write_gradient(x, V, targets[t], row, scale, d);
    }
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(cross_entropy_rows);

namespace {

class CpuLossKernels final : public LossKernels {
 public:
  explicit CpuLossKernels(int threads) : threads_(threads) {}

 private:
  void enqueue_cross_entropy(Stream& stream, ConstView logits, const int32_t* targets, float gradient_scale,
                             View dlogits, double* loss_sum) override {
    stream.enqueue([=, threads = threads_] {
      std::vector<double> losses(static_cast<size_t>(logits.rows));
      parallel_for(threads, logits.rows, 1, [&](int64_t begin, int64_t end) {
        HWY_DYNAMIC_DISPATCH(cross_entropy_rows)
        (logits, targets, gradient_scale, dlogits, losses.data(), begin, end);
      });
      for (const double loss : losses) *loss_sum += loss;
    });
  }

  const int threads_;
};

}  // namespace

std::unique_ptr<LossKernels> make_cpu_loss(int threads) { return std::make_unique<CpuLossKernels>(threads); }

}  // namespace tessera
#endif
