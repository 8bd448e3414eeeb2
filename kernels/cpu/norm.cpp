#include "device/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

// clang-format off: Highway reads this file once for each target, and its headers in this order
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

#include <cmath>
#include <vector>

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

// Both norms are one: a row of x is heads() pieces of D = w.cols elements, and each piece is normalised by itself; the
// norm of a whole row is that with one head.  r = inv_rms, x̂ = x·r, y = added + x̂·(w + offset).

/// Rows [begin, end).
void rmsnorm_forward_rows(ConstView x_view, ConstView w_view, RmsNorm norm, ConstView added_view, View y_view,
                          float* inv_rms, int64_t begin, int64_t end) {
  const int64_t D = w_view.cols, heads = x_view.cols / D;
  with_compute_type(x_view.dtype, [&](auto type) {
    using T = decltype(type);
    const T* w = w_view.as<T>();
    const Floats offset = all(norm.weight_offset);
    for (int64_t piece = begin * heads; piece < end * heads; ++piece) {
      const T* x = x_view.as<T>() + piece / heads * x_view.row_stride + piece % heads * D;
      T* y = y_view.as<T>() + piece / heads * y_view.row_stride + piece % heads * D;
      const T* added =
          added_view ? added_view.as<T>() + piece / heads * added_view.row_stride + piece % heads * D : nullptr;
      const float squares = sum_of(D, [&](int64_t i, auto span) {
        const Floats xi = load(x + i, span);
        return hn::Mul(xi, xi);
      });
      const float r = 1 / std::sqrt(squares / static_cast<float>(D) + norm.eps);
      inv_rms[piece] = r;
      const auto normed = [&](int64_t i, auto span) { return hn::Mul(load(x + i, span), all(r)); };
      if (added == nullptr)
        for_each_vector(D, [&](int64_t i, auto span) {
          store(hn::Mul(normed(i, span), hn::Add(load(w + i, span), offset)), y + i, span);
        });
      else
        for_each_vector(D, [&](int64_t i, auto span) {
          const Floats scale = hn::Add(load(w + i, span), offset);
          store(hn::MulAdd(normed(i, span), scale, load(added + i, span)), y + i, span);
        });
    }
  });
}

/// With w the weight and its offset: dx = (or +=) r (dy·w - x̂ mean(dy·w·x̂)), dw += dy·x̂, for rows [begin, end).
void rmsnorm_backward_rows(ConstView x_view, ConstView w_view, float weight_offset, const float* inv_rms,
                           ConstView dy_view, View dx_view, Write mode, float* dw, int64_t begin, int64_t end) {
  const int64_t D = w_view.cols, heads = x_view.cols / D;
  with_compute_type(x_view.dtype, [&](auto type) {
    using T = decltype(type);
    const T* w = w_view.as<T>();
    const Floats offset = all(weight_offset);
    for (int64_t piece = begin * heads; piece < end * heads; ++piece) {
      const int64_t t = piece / heads, column = piece % heads * D;
      const T* x = x_view.as<T>() + t * x_view.row_stride + column;
      const T* dy = dy_view.as<T>() + t * dy_view.row_stride + column;
      T* dx = dx_view.as<T>() + t * dx_view.row_stride + column;
      const float r = inv_rms[piece];
      const float dot = sum_of(D, [&](int64_t i, auto span) {
        return hn::Mul(hn::Mul(load(dy + i, span), hn::Add(load(w + i, span), offset)), load(x + i, span));
      });
      const Floats mean = all(dot * r / static_cast<float>(D));
      for_each_vector(D, [&](int64_t i, auto span) {
        const Floats dyi = load(dy + i, span);
        const Floats normed = hn::Mul(load(x + i, span), all(r));
        store(hn::MulAdd(dyi, normed, load(dw + i, span)), dw + i, span);
        const Floats inner = hn::NegMulAdd(normed, mean, hn::Mul(dyi, hn::Add(load(w + i, span), offset)));
        const Floats before = mode == Write::accumulate ? load(dx + i, span) : all(0);
        store(hn::MulAdd(inner, all(r), before), dx + i, span);
      });
    }
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(rmsnorm_forward_rows);
HWY_EXPORT(rmsnorm_backward_rows);

namespace {

/// dw is summed in blocks of rows that depend on T alone, and the blocks in their order: the same bits with any number
/// of threads, and x and dy are read once.
void backward(int threads, ConstView x, ConstView w, const RmsNorm& norm, const float* inv_rms, ConstView dy, View dx,
              Write mode, View dw) {
  const int64_t T = x.rows, D = w.cols;
  const int64_t block = std::max<int64_t>(32, (T + 63) / 64), blocks = (T + block - 1) / block;
  std::vector<float> partial(static_cast<size_t>(blocks * D));
  parallel_for(threads, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) HWY_DYNAMIC_DISPATCH(rmsnorm_backward_rows)
    (x, w, norm.weight_offset, inv_rms, dy, dx, mode, partial.data() + b * D, b * block, std::min(T, (b + 1) * block));
  });
  if (!dw) return;
  float* total = dw.as<float>();
  for (int64_t b = 0; b < blocks; ++b)
    for (int64_t i = 0; i < D; ++i) total[i] += partial[static_cast<size_t>(b * D + i)];
}

class CpuNormKernels final : public NormKernels {
 public:
  explicit CpuNormKernels(int threads) : threads_(threads) {}

 private:
  void enqueue_rmsnorm_forward(Stream& stream, ConstView x, ConstView w, const RmsNorm& norm, ConstView added, View y,
                               float* inv_rms) override {
    stream.enqueue([=, threads = threads_] {
      parallel_for(threads, x.rows, 16, [&](int64_t begin, int64_t end) {
        HWY_DYNAMIC_DISPATCH(rmsnorm_forward_rows)(x, w, norm, added, y, inv_rms, begin, end);
      });
    });
  }
  void enqueue_rmsnorm_backward(Stream& stream, ConstView x, ConstView w, const RmsNorm& norm, const float* inv_rms,
                                ConstView dy, View dx, Write mode, View dw) override {
    stream.enqueue([=, threads = threads_] { backward(threads, x, w, norm, inv_rms, dy, dx, mode, dw); });
  }

  const int threads_;
};

}  // namespace

std::unique_ptr<NormKernels> make_cpu_norm(int threads) { return std::make_unique<CpuNormKernels>(threads); }

}  // namespace tessera
#endif
