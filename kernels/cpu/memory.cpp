#include "device/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

// clang-format off: Highway reads this file once for each target, and its headers in this order
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/memory.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

/// to = from.
void cast_row(ConstView from_view, View to_view) {
  with_compute_type(from_view.dtype, [&](auto from_type) {
    with_compute_type(to_view.dtype, [&](auto to_type) {
      const auto* from = from_view.as<decltype(from_type)>();
      auto* to = to_view.as<decltype(to_type)>();
      for_each_vector(to_view.cols, [&](int64_t i, auto span) { store(load(from + i, span), to + i, span); });
    });
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(cast_row);

namespace {

constexpr int64_t grain = 1 << 16;  // elements or bytes that are worth a thread

/// row(from, to) for the rows of two matrices; two contiguous ones are one long row, cut into pieces.
template <typename Row>
void for_each_row(int threads, ConstView from, View to, const Row& row) {
  if (from.contiguous() && to.contiguous()) {
    const ConstView long_from(from.data, from.dtype, 1, to.size());
    const View long_to(to.data, to.dtype, 1, to.size());
    parallel_for(threads, to.size(), grain, [&](int64_t begin, int64_t end) {
      row(long_from.cols_from(begin, end - begin), long_to.cols_from(begin, end - begin));
    });
  } else {
    parallel_for(threads, to.rows, grain / std::max<int64_t>(1, to.cols), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) row(from.rows_from(r, 1), to.rows_from(r, 1));
    });
  }
}

class CpuMemoryKernels final : public MemoryKernels {
 public:
  explicit CpuMemoryKernels(int threads) : threads_(threads) {}

 private:
  void enqueue_cast(Stream& stream, ConstView from, View to) override {
    stream.enqueue([=, threads = threads_] { for_each_row(threads, from, to, HWY_DYNAMIC_DISPATCH(cast_row)); });
  }
  void enqueue_fill_zero(Stream& stream, void* to, int64_t bytes) override {
    stream.enqueue([=, threads = threads_] {
      parallel_for(threads, bytes, grain, [&](int64_t begin, int64_t end) {
        std::memset(static_cast<char*>(to) + begin, 0, static_cast<size_t>(end - begin));
      });
    });
  }
  void enqueue_copy(Stream& stream, const void* from, void* to, int64_t bytes) override {
    stream.enqueue([=, threads = threads_] {
      parallel_for(threads, bytes, grain, [&](int64_t begin, int64_t end) {
        std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin,
                    static_cast<size_t>(end - begin));
      });
    });
  }

  const int threads_;
};

}  // namespace

std::unique_ptr<MemoryKernels> make_cpu_memory(int threads) { return std::make_unique<CpuMemoryKernels>(threads); }

}  // namespace tessera
#endif
