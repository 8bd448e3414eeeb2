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

// What z is of a logit x, and the slope dz/dx, less transform.scale, by z.

struct Raw {
  HWY_INLINE Floats z(Floats x) const { return x; }
  HWY_INLINE Floats times_slope(Floats gradient, Floats /*z*/) const { return gradient; }
};
struct Scaled {
  float scale;
  HWY_INLINE Floats z(Floats x) const { return hn::Mul(x, all(scale)); }
  HWY_INLINE Floats times_slope(Floats gradient, Floats /*z*/) const { return gradient; }
};
struct Capped {
  float scale, softcap;
  HWY_INLINE Floats z(Floats x) const { return soft_capped(hn::Mul(x, all(scale)), softcap); }
  HWY_INLINE Floats times_slope(Floats gradient, Floats z) const {
    return hn::Mul(gradient, soft_cap_slope(z, softcap));
  }
};

/// f(Raw()), or whichever it is.
template <typename F>
HWY_INLINE void with_transform(const LogitTransform& transform, const F& f) {
  if (transform.none())
    f(Raw());
  else if (transform.softcap == 0)
    f(Scaled{transform.scale});
  else
    f(Capped{transform.scale, transform.softcap});
}

/// Of one logit.
template <typename Transform>
HWY_INLINE float z_of(const Transform& transform, float x) {
  return hn::GetLane(transform.z(all(x)));
}

/// The largest z of a row, that of the largest x, and Σ e^(z - largest).
struct RowSum {
  float largest, sum;
};
template <typename Transform>
HWY_INLINE RowSum sum_row(const Transform& transform, const float* x, int64_t V) {
  const Floats least = all(hwy::LowestValue<float>());
  const Floats larger = fold(
      V, least, [](Floats a, Floats b) { return hn::Max(a, b); },
      [&](int64_t i, auto span) { return keep(load(x + i, span), least, span); });
  const float largest = z_of(transform, hn::GetLane(hn::MaxOfLanes(FloatTag(), larger)));
  const float sum = sum_of(V, [&](int64_t i, auto span) {
    return keep(exp_of_negative(hn::Sub(transform.z(load(x + i, span)), all(largest))), all(0), span);
  });
  return {largest, sum};
}

/// d[i] = e^(z[i] - largest) / sum * scale, and less scale at the target, times the slope.  d may begin where x does:
/// what is written there has been read, as no element of d is larger than one of x.
template <typename Transform, typename T>
HWY_INLINE void write_gradient(const Transform& transform, const float* x, int64_t V, int32_t target, RowSum row,
                               float scale, T* d) {
  const float at_target = z_of(transform, x[target]);
  const Floats largest = all(row.largest), factor = all(scale / row.sum);
  for_each_vector(V, [&](int64_t i, auto span) {
    const Floats z = transform.z(load(x + i, span));
    store_result(transform.times_slope(hn::Mul(exp_of_negative(hn::Sub(z, largest)), factor), z), d + i, span);
  });
  const float gradient = (std::exp(at_target - row.largest) / row.sum - 1) * scale;
  d[target] = static_cast<T>(hn::GetLane(transform.times_slope(all(gradient), all(at_target))));
}

template <typename Transform, typename T>
HWY_INLINE double cross_entropy_row(const Transform& transform, const float* x, int64_t V, int32_t target, float scale,
                                    T* d) {
  const RowSum row = sum_row(transform, x, V);
  const float at_target = z_of(transform, x[target]);
  if (d != nullptr) write_gradient(transform, x, V, target, row, scale, d);
  return std::log(static_cast<double>(row.sum)) + (static_cast<double>(row.largest) - at_target);
}

}  // namespace

/// losses[t] = the cross-entropy of row t, 0 where its target is ignored, for rows [begin, end).
void cross_entropy_rows(ConstView logits, const int32_t* targets, LogitTransform transform, float gradient_scale,
                        View dlogits, double* losses, int64_t begin, int64_t end) {
  const int64_t V = logits.cols;
  const float scale = gradient_scale * transform.scale;
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
      with_transform(transform, [&](const auto& z) { losses[t] = cross_entropy_row(z, x, V, targets[t], scale, d); });
    }
  });
}

/// In place, rows [begin, end).
void transform_rows(LogitTransform transform, View logits, int64_t begin, int64_t end) {
  with_transform(transform, [&](const auto& z) {
    for (int64_t t = begin; t < end; ++t) {
      float* x = logits.as<float>() + t * logits.row_stride;
      for_each_vector(logits.cols, [&](int64_t i, auto span) { store(z.z(load(x + i, span)), x + i, span); });
    }
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(cross_entropy_rows);
HWY_EXPORT(transform_rows);

namespace {

class CpuLossKernels final : public LossKernels {
 public:
  explicit CpuLossKernels(int threads) : threads_(threads) {}

 private:
  void enqueue_cross_entropy(Stream& stream, ConstView logits, const int32_t* targets, const LogitTransform& transform,
                             float gradient_scale, View dlogits, double* loss_sum) override {
    stream.enqueue([=, threads = threads_] {
      std::vector<double> losses(static_cast<size_t>(logits.rows));
      parallel_for(threads, logits.rows, 1, [&](int64_t begin, int64_t end) {
        HWY_DYNAMIC_DISPATCH(cross_entropy_rows)
        (logits, targets, transform, gradient_scale, dlogits, losses.data(), begin, end);
      });
      for (const double loss : losses) *loss_sum += loss;
    });
  }
  void enqueue_transform_logits(Stream& stream, const LogitTransform& transform, View logits) override {
    stream.enqueue([=, threads = threads_] {
      parallel_for(threads, logits.rows, 1, [&](int64_t begin, int64_t end) {
        HWY_DYNAMIC_DISPATCH(transform_rows)(transform, logits, begin, end);
      });
    });
  }

  const int threads_;
};

}  // namespace

std::unique_ptr<LossKernels> make_cpu_loss(int threads) { return std::make_unique<CpuLossKernels>(threads); }

}  // namespace tessera
#endif
