#include "device/parallel.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/gemm.h"

// clang-format off: Highway reads this file once for each target, and its headers in this order
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

/// db[c] += Σ_t dy[t,c] for columns [begin, end).  Eight rows at a time, so that db is read and written seldom.
void bias_backward_columns(ConstView dy_view, float* db, int64_t begin, int64_t end) {
  constexpr int64_t group = 8;
  with_compute_type(dy_view.dtype, [&](auto type) {
    using T = decltype(type);
    const T* dy = dy_view.as<T>() + begin;
    const int64_t stride = dy_view.row_stride;
    db += begin;
    int64_t t = 0;
    for (; t + group <= dy_view.rows; t += group) {
      const T* rows = dy + t * stride;
      for_each_vector(end - begin, [&](int64_t i, auto span) {
        Floats sum = load(rows + i, span);
        for (int64_t r = 1; r < group; ++r) sum = hn::Add(sum, load(rows + r * stride + i, span));
        store(hn::Add(load(db + i, span), sum), db + i, span);
      });
    }
    for (; t < dy_view.rows; ++t) {
      for_each_vector(end - begin, [&](int64_t i, auto span) {
        store(hn::Add(load(db + i, span), load(dy + t * stride + i, span)), db + i, span);
      });
    }
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(bias_backward_columns);

namespace {

class CpuLinearKernels final : public LinearKernels {
 public:
  CpuLinearKernels(int threads, std::shared_ptr<CpuGemm> gemm) : threads_(threads), gemm_(std::move(gemm)) {}

 private:
  void enqueue_linear_forward(Stream& stream, ConstView x, ConstView w, ConstView bias, ConstView added,
                              View y) override {
    stream.enqueue([=, this] { gemm_->multiply({x}, transpose(w), bias, added, y); });
  }
  void enqueue_linear_backward_input(Stream& stream, ConstView dy, ConstView w, View dx, Write mode) override {
    stream.enqueue([=, this] { gemm_->multiply({dy}, {w}, {}, addend(dx, mode), dx); });
  }
  void enqueue_linear_backward_weight(Stream& stream, ConstView dy, ConstView x, View dw, Write mode) override {
    stream.enqueue([=, this] { gemm_->multiply(transpose(dy), {x}, {}, addend(dw, mode), dw); });
  }
  /// The columns are divided among the threads: each is summed in the order of t.
  void enqueue_bias_backward(Stream& stream, ConstView dy, View db) override {
    stream.enqueue([=, threads = threads_] {
      parallel_for(threads, dy.cols, 64, [&](int64_t begin, int64_t end) {
        HWY_DYNAMIC_DISPATCH(bias_backward_columns)(dy, db.as<float>(), begin, end);
      });
    });
  }

  const int threads_;
  const std::shared_ptr<CpuGemm> gemm_;
};

}  // namespace

std::unique_ptr<LinearKernels> make_cpu_linear(int threads, std::shared_ptr<CpuGemm> gemm) {
  return std::make_unique<CpuLinearKernels>(threads, std::move(gemm));
}

}  // namespace tessera
#endif
