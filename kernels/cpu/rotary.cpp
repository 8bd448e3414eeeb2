#include "device/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

// clang-format off: Highway reads this file once for each target, and its headers in this order
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rotary.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

#include <cmath>
#include <vector>

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

/// (a, b) -> (a·cos - b·sin, b·cos + a·sin), with sin negated where the rotation is undone.
void rotate_rows(const float* cos_table, const float* sin_table, float sign, RotaryHeads heads, View x_view,
                 int64_t begin, int64_t end) {
  const int64_t half = heads.turned / 2;
  with_compute_type(x_view.dtype, [&](auto type) {
    using T = decltype(type);
    for (int64_t t = begin; t < end; ++t) {
      const float* cos_row = cos_table + t * half;
      const float* sin_row = sin_table + t * half;
      for (int64_t column = 0; column < x_view.cols; column += heads.D) {
        T* first = x_view.as<T>() + t * x_view.row_stride + column;
        T* second = first + half;
        for_each_vector(half, [&](int64_t i, auto span) {
          const Floats c = load(cos_row + i, span), s = hn::Mul(load(sin_row + i, span), all(sign));
          const Floats a = load(first + i, span), b = load(second + i, span);
          store(hn::NegMulAdd(b, s, hn::Mul(a, c)), first + i, span);
          store(hn::MulAdd(a, s, hn::Mul(b, c)), second + i, span);
        });
      }
    }
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(rotate_rows);

namespace {

class CpuRotaryKernels final : public RotaryKernels {
 public:
  explicit CpuRotaryKernels(int threads) : threads_(threads) {}

 private:
  void enqueue_rope_table(Stream& stream, const int32_t* positions, int64_t T, const float* inv_freq, int64_t half,
                          float scale, float* cos, float* sin) override {
    stream.enqueue([=, threads = threads_, frequencies = std::vector<float>(inv_freq, inv_freq + half)] {
      parallel_for(threads, T, 16, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
          for (int64_t i = 0; i < half; ++i) {
            const float angle = static_cast<float>(positions[t]) * frequencies[static_cast<size_t>(i)];
            cos[t * half + i] = scale * static_cast<float>(std::cos(static_cast<double>(angle)));
            sin[t * half + i] = scale * static_cast<float>(std::sin(static_cast<double>(angle)));
          }
        }
      });
    });
  }
  void enqueue_rope_forward(Stream& stream, const float* cos, const float* sin, const RotaryHeads& heads,
                            View x) override {
    stream.enqueue([=, threads = threads_] {
      parallel_for(threads, x.rows, 16, [&](int64_t begin, int64_t end) {
        HWY_DYNAMIC_DISPATCH(rotate_rows)(cos, sin, 1, heads, x, begin, end);
      });
    });
  }
  void enqueue_rope_backward(Stream& stream, const float* cos, const float* sin, const RotaryHeads& heads,
                             View dx) override {
    stream.enqueue([=, threads = threads_] {
      parallel_for(threads, dx.rows, 16, [&](int64_t begin, int64_t end) {
        HWY_DYNAMIC_DISPATCH(rotate_rows)(cos, sin, -1, heads, dx, begin, end);
      });
    });
  }

  const int threads_;
};

}  // namespace

std::unique_ptr<RotaryKernels> make_cpu_rotary(int threads) { return std::make_unique<CpuRotaryKernels>(threads); }

}  // namespace tessera
#endif
