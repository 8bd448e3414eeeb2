#include "kernels/dropout.h"

#include <algorithm>

#include "device/parallel.h"
#include "kernels/cpu/cpu_kernels.h"

// clang-format off: Highway reads this file once for each target, and its headers in this order
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/dropout.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

using Words = hn::Vec<BitsTag>;

struct WideProduct {
  Words high, low;
};

/// All 64 bits of each lane's product.
HWY_INLINE WideProduct wide_product(Words a, uint32_t factor) {
  const BitsTag tag;
#if HWY_TARGET == HWY_SCALAR
  const uint64_t product = uint64_t{hn::GetLane(a)} * factor;
  return {hn::Set(tag, static_cast<uint32_t>(product >> 32)), hn::Set(tag, static_cast<uint32_t>(product))};
#else
  const hn::RepartitionToWide<BitsTag> wide;
  const Words b = hn::Set(tag, factor);
  const auto even = hn::MulEven(a, b);
  const auto odd = hn::MulEven(hn::BitCast(tag, hn::ShiftRight<32>(hn::BitCast(wide, a))), b);
  const Words high_of_even = hn::BitCast(tag, hn::ShiftRight<32>(even));
  return {hn::OddEven(hn::BitCast(tag, odd), high_of_even), hn::Mul(a, b)};
#endif
}

struct Block {
  Words words[4];
};

/// Philox4x32-10 of as many counters as there are lanes, which differ in their first word.
HWY_INLINE Block philox(Words first, uint32_t position, uint32_t sample, uint32_t step, uint64_t key) {
  const BitsTag tag;
  Words x0 = first, x1 = hn::Set(tag, position), x2 = hn::Set(tag, sample), x3 = hn::Set(tag, step);
  auto key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const WideProduct a = wide_product(x0, 0xD2511F53), b = wide_product(x2, 0xCD9E8D57);
    x0 = hn::Xor(hn::Xor(b.high, x1), hn::Set(tag, key0));
    x2 = hn::Xor(hn::Xor(a.high, x3), hn::Set(tag, key1));
    x1 = b.low;
    x3 = a.low;
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return {{x0, x1, x2, x3}};
}

template <typename T>
struct Row {
  const T* x;
  T* y;
  bool adds;

  template <typename Span>
  HWY_INLINE void write(int64_t i, Floats factor, Span span) const {
    const Floats before = adds ? load(y + i, span) : all(0);
    store(hn::MulAdd(load(x + i, span), factor, before), y + i, span);
  }
};

/// Rows [begin, end).
void dropout_rows(const Dropout& dropout, ConstView x, View y, bool adds, int64_t begin, int64_t end) {
  constexpr int64_t group = DropoutKernels::group, blocks = group / 4;
  const BitsTag tag;
  const Words threshold = hn::Set(tag, dropout_threshold(dropout.rate));
  const Floats scale = all(1 / (1 - dropout.rate));
  with_compute_type(y.dtype, [&](auto type) {
    using T = decltype(type);
    for (int64_t t = begin; t < end; ++t) {
      const Row<T> row{x.as<T>() + t * x.row_stride, y.as<T>() + t * y.row_stride, adds};
      for (int64_t first = 0; first < y.cols; first += group)
        for (int64_t j = 0; j < blocks && first + j < y.cols; j += lanes()) {
          const Block block =
              philox(hn::Iota(tag, static_cast<uint32_t>(first / 4 + j)), static_cast<uint32_t>(dropout.positions[t]),
                     static_cast<uint32_t>(dropout.samples[t]), static_cast<uint32_t>(dropout.step), dropout.key);
          for (int64_t k = 0; k < 4; ++k) {
            const int64_t i = first + k * blocks + j, rest = y.cols - i;
            if (rest <= 0) break;
            const auto kept = hn::RebindMask(FloatTag(), hn::Not(hn::Gt(threshold, block.words[k])));
            const Floats factor = hn::IfThenElseZero(kept, scale);
            if (rest >= lanes())
              row.write(i, factor, Whole());
            else
              row.write(i, factor, Part{rest});
          }
        }
    }
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(dropout_rows);

namespace {

class CpuDropoutKernels final : public DropoutKernels {
 public:
  explicit CpuDropoutKernels(int threads) : threads_(threads) {}

 private:
  void enqueue_dropout(Stream& stream, const Dropout& dropout, ConstView x, View y, Write mode) override {
    stream.enqueue([=, threads = threads_] {
      parallel_for(threads, y.rows, 16, [&](int64_t begin, int64_t end) {
        HWY_DYNAMIC_DISPATCH(dropout_rows)(dropout, x, y, mode == Write::accumulate, begin, end);
      });
    });
  }

  const int threads_;
};

}  // namespace

std::unique_ptr<DropoutKernels> make_cpu_dropout(int threads) { return std::make_unique<CpuDropoutKernels>(threads); }

}  // namespace tessera
#endif
