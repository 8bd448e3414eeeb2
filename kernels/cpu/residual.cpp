#include "device/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

// clang-format off: Highway reads this file once for each target, and its headers in this order
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/residual.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

/// Rows [begin, end).
void scale_rows(ConstView x_view, float factor, ConstView added_view, View y_view, int64_t begin, int64_t end) {
  with_compute_type(y_view.dtype, [&](auto type) {
    using T = decltype(type);
    for (int64_t t = begin; t < end; ++t) {
      const T* x = x_view.as<T>() + t * x_view.row_stride;
      T* y = y_view.as<T>() + t * y_view.row_stride;
      if (!added_view) {
        for_each_vector(y_view.cols,
                        [&](int64_t i, auto span) { store(hn::Mul(load(x + i, span), all(factor)), y + i, span); });
        continue;
      }
      const T* added = added_view.as<T>() + t * added_view.row_stride;
      for_each_vector(y_view.cols, [&](int64_t i, auto span) {
        store(hn::MulAdd(load(x + i, span), all(factor), load(added + i, span)), y + i, span);
      });
    }
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(scale_rows);

namespace {

class CpuResidualKernels final : public ResidualKernels {
 public:
  explicit CpuResidualKernels(int threads) : threads_(threads) {}

 private:
  void enqueue_scale(Stream& stream, ConstView x, float factor, ConstView added, View y) override {
    stream.enqueue([=, threads = threads_] {
      parallel_for(threads, y.rows, 16, [&](int64_t begin, int64_t end) {
        HWY_DYNAMIC_DISPATCH(scale_rows)(x, factor, added, y, begin, end);
      });
    });
  }

  const int threads_;
};

}  // namespace

std::unique_ptr<ResidualKernels> make_cpu_residual(int threads) {
  return std::make_unique<CpuResidualKernels>(threads);
}

}  // namespace tessera
#endif
