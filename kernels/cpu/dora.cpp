#include "kernels/dora.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "device/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

namespace tessera {
namespace {

template <typename T>
const T* row_of(const ConstView& view, int64_t row) {
  return view.as<T>() + row * view.row_stride;
}

/// |w + s B A|² of a row, in double: what is added and taken away may be much larger than the result.
template <typename T>
double squared_norm(const ConstView& w, const ConstView& b, const ConstView& wa, const ConstView& aa, double s,
                    int64_t row) {
  const T *const weights = row_of<T>(w, row), *const own = row_of<T>(b, row);
  const float* const products = row_of<float>(wa, row);
  double sum = 0;
  for (int64_t i = 0; i < w.cols; ++i) {
    const auto x = static_cast<double>(static_cast<float>(weights[i]));
    sum += x * x;
  }
  for (int64_t k = 0; k < b.cols; ++k) {
    const auto bk = static_cast<double>(static_cast<float>(own[k]));
    sum += 2 * s * bk * products[k];
    for (int64_t l = 0; l < b.cols; ++l)
      sum += s * s * bk * row_of<float>(aa, k)[l] * static_cast<double>(static_cast<float>(own[l]));
  }
  return sum;
}

class CpuDoraKernels final : public DoraKernels {
 public:
  explicit CpuDoraKernels(int threads) : threads_(threads) {}

 private:
  void enqueue_dora_row_scales(Stream& stream, ConstView w, ConstView b, ConstView magnitude, ConstView wa,
                               ConstView aa, float s, float* scale, float* inv_norm) override {
    stream.enqueue([=, threads = threads_] {
      with_compute_type(w.dtype, [&](auto type) {
        using T = decltype(type);
        parallel_for(threads, w.rows, 16, [&](int64_t begin, int64_t end) {
          for (int64_t row = begin; row < end; ++row) {
            inv_norm[row] = static_cast<float>(1 / std::sqrt(squared_norm<T>(w, b, wa, aa, s, row)));
            scale[row] = static_cast<float>(magnitude.as<T>()[row]) * inv_norm[row];
          }
        });
      });
    });
  }

  void enqueue_dora_scale_columns(Stream& stream, ConstView x, const float* scale, ConstView bias, ConstView added,
                                  View y) override {
    stream.enqueue([=, threads = threads_] {
      with_compute_type(x.dtype, [&](auto type) {
        using T = decltype(type);
        parallel_for(threads, x.rows, 16, [&](int64_t begin, int64_t end) {
          for (int64_t t = begin; t < end; ++t)
            for (int64_t o = 0; o < x.cols; ++o) {
              float value = scale[o] * static_cast<float>(row_of<T>(x, t)[o]);
              if (bias) value += static_cast<float>(bias.as<T>()[o]);
              if (added) value += static_cast<float>(row_of<T>(added, t)[o]);
              y.as<T>()[t * y.row_stride + o] = static_cast<T>(value);
            }
        });
      });
    });
  }

  /// By columns, so that the sums do not depend on the number of threads.
  void enqueue_dora_magnitude_backward(Stream& stream, ConstView x, ConstView dy, const float* inv_norm,
                                       View d) override {
    stream.enqueue([=, threads = threads_] {
      with_compute_type(x.dtype, [&](auto type) {
        using T = decltype(type);
        parallel_for(threads, x.cols, 64, [&](int64_t begin, int64_t end) {
          std::vector<float> sums(static_cast<size_t>(end - begin));
          for (int64_t t = 0; t < x.rows; ++t)
            for (int64_t o = begin; o < end; ++o)
              sums[static_cast<size_t>(o - begin)] +=
                  static_cast<float>(row_of<T>(x, t)[o]) * static_cast<float>(row_of<T>(dy, t)[o]);
          for (int64_t o = begin; o < end; ++o) d.as<float>()[o] += inv_norm[o] * sums[static_cast<size_t>(o - begin)];
        });
      });
    });
  }

  const int threads_;
};

}  // namespace

std::unique_ptr<DoraKernels> make_cpu_dora(int threads) { return std::make_unique<CpuDoraKernels>(threads); }

}  // namespace tessera
