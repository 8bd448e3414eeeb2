#include "device/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

// clang-format off: Highway reads this file once for each target, and its headers in this order
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/embedding.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

/// y = factor · x, a row each.
void scale_row(ConstView x_view, float factor, View y_view) {
  with_compute_type(y_view.dtype, [&](auto type) {
    using T = decltype(type);
    const T* x = x_view.as<T>();
    T* y = y_view.as<T>();
    for_each_vector(y_view.cols,
                    [&](int64_t i, auto span) { store(hn::Mul(load(x + i, span), all(factor)), y + i, span); });
  });
}

/// Columns [begin, end) of every row.
void embedding_backward_columns(const int32_t* tokens, ConstView dy_view, float factor, int32_t padding,
                                View dtable_view, int64_t begin, int64_t end) {
  with_compute_type(dy_view.dtype, [&](auto type) {
    using T = decltype(type);
    for (int64_t t = 0; t < dy_view.rows; ++t) {
      if (tokens[t] == padding) continue;
      const T* dy = dy_view.as<T>() + t * dy_view.row_stride + begin;
      float* dtable = dtable_view.as<float>() + tokens[t] * dtable_view.row_stride + begin;
      for_each_vector(end - begin, [&](int64_t i, auto span) {
        store(hn::MulAdd(load(dy + i, span), all(factor), load(dtable + i, span)), dtable + i, span);
      });
    }
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(scale_row);
HWY_EXPORT(embedding_backward_columns);

namespace {

class CpuEmbeddingKernels final : public EmbeddingKernels {
 public:
  explicit CpuEmbeddingKernels(int threads) : threads_(threads) {}

 private:
  void enqueue_embedding_forward(Stream& stream, const int32_t* tokens, ConstView table, View y,
                                 float factor) override {
    stream.enqueue([=, threads = threads_] {
      const auto row_bytes = static_cast<size_t>(y.cols * size_of(y.dtype));
      parallel_for(threads, y.rows, 16, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
          const ConstView from = table.rows_from(tokens[t], 1);
          const View to = y.rows_from(t, 1);
          if (factor == 1)
            std::memcpy(to.data, from.data, row_bytes);
          else
            HWY_DYNAMIC_DISPATCH(scale_row)(from, factor, to);
        }
      });
    });
  }
  /// The columns are divided among the threads: no two meet in a row, and each element is summed in the order of t.
  void enqueue_embedding_backward(Stream& stream, const int32_t* tokens, ConstView dy, View dtable, float factor,
                                  int32_t padding) override {
    stream.enqueue([=, threads = threads_] {
      parallel_for(threads, dy.cols, 64, [&](int64_t begin, int64_t end) {
        HWY_DYNAMIC_DISPATCH(embedding_backward_columns)(tokens, dy, factor, padding, dtable, begin, end);
      });
    });
  }
  void enqueue_scatter_rows(Stream& stream, const int32_t* rows, ConstView x, View y) override {
    stream.enqueue([=, threads = threads_] {
      const auto row_bytes = static_cast<size_t>(y.cols * size_of(y.dtype));
      parallel_for(threads, y.rows, 256, [&](int64_t begin, int64_t end) {
        const int32_t* next = std::lower_bound(rows, rows + x.rows, static_cast<int32_t>(begin));
        for (int64_t t = begin; t < end; ++t) {
          void* to = y.rows_from(t, 1).data;
          if (next != rows + x.rows && *next == t)
            std::memcpy(to, x.rows_from(next++ - rows, 1).data, row_bytes);
          else
            std::memset(to, 0, row_bytes);
        }
      });
    });
  }

  const int threads_;
};

}  // namespace

std::unique_ptr<EmbeddingKernels> make_cpu_embedding(int threads) {
  return std::make_unique<CpuEmbeddingKernels>(threads);
}

}  // namespace tessera
#endif
