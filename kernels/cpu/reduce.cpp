#include "device/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

// clang-format off: Highway reads this file once for each target, and its headers in this order
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/reduce.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

#include <vector>

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

/// Σ x² in double, where the square of a float is exact.
double sum_of_squares(const float* x, int64_t n) {
  using HalfTag = hn::Half<FloatTag>;
  const hn::Rebind<double, HalfTag> tag;
  const auto squared = [&](int64_t i, auto sum) {
    const auto wide = hn::PromoteTo(tag, hn::LoadU(HalfTag(), x + i));
    return hn::MulAdd(wide, wide, sum);
  };
  const auto step = static_cast<int64_t>(hn::Lanes(tag));
  auto a = hn::Zero(tag), b = a, c = a, d = a;
  int64_t i = 0;
  for (; i + 4 * step <= n; i += 4 * step) {
    a = squared(i, a);
    b = squared(i + step, b);
    c = squared(i + 2 * step, c);
    d = squared(i + 3 * step, d);
  }
  double sum = hn::GetLane(hn::SumOfLanes(tag, hn::Add(hn::Add(a, b), hn::Add(c, d))));
  for (; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  return sum;
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(bias_backward_columns);
HWY_EXPORT(sum_of_squares);

/// The columns are divided among the threads: each is summed in the order of t.
void CpuKernels::bias_backward(Stream& stream, ConstView dy, View db) {
  stream.enqueue([=, threads = threads_] {
    parallel_for(threads, dy.cols, 64, [&](int64_t begin, int64_t end) {
      HWY_DYNAMIC_DISPATCH(bias_backward_columns)(dy, db.as<float>(), begin, end);
    });
  });
}

/// Summed in blocks of one size, and the blocks in their order: the same bits with any number of threads.
void CpuKernels::squared_norm(Stream& stream, const float* x, int64_t n, double* sum) {
  stream.enqueue([=, threads = threads_] {
    constexpr int64_t block = 1 << 15;
    std::vector<double> partial(static_cast<size_t>((n + block - 1) / block));
    parallel_for(threads, static_cast<int64_t>(partial.size()), 4, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b)
        partial[static_cast<size_t>(b)] =
            HWY_DYNAMIC_DISPATCH(sum_of_squares)(x + b * block, std::min(block, n - b * block));
    });
    for (const double part : partial) *sum += part;
  });
}

}  // namespace tessera
#endif
