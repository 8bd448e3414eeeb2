#include "kernels/cpu/convert.h"

// clang-format off: Highway reads this file once for each target, and its headers in this order
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/convert.cpp"
#include "hwy/foreach_target.h"
#include "kernels/cpu/vector-inl.h"
// clang-format on

#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

template <bool add>
void convert_rows(const ConstView& from_rows, const View& to_rows) {
  with_compute_type(from_rows.dtype, [&](auto from_type) {
    with_compute_type(to_rows.dtype, [&](auto to_type) {
      for (int64_t row = 0; row < from_rows.rows; ++row) {
        const auto* from = from_rows.as<decltype(from_type)>() + row * from_rows.row_stride;
        auto* to = to_rows.as<decltype(to_type)>() + row * to_rows.row_stride;
        for_each_vector(from_rows.cols, [&](int64_t i, auto span) {
          const Floats value = load(from + i, span);
          store(add ? hn::Add(value, load(to + i, span)) : value, to + i, span);
        });
      }
    });
  });
}

// Named for the dispatch table, which cannot hold templates.
void convert_over(const ConstView& from, const View& to) { convert_rows<false>(from, to); }
void convert_onto(const ConstView& from, const View& to) { convert_rows<true>(from, to); }

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(convert_over);
HWY_EXPORT(convert_onto);

void convert(const ConstView& from, const View& to) {
  if (from.dtype != to.dtype) return HWY_DYNAMIC_DISPATCH(convert_over)(from, to);
  for (int64_t row = 0; row < from.rows; ++row) {
    const ConstView source = from.rows_from(row, 1);
    std::memcpy(to.rows_from(row, 1).data, source.data, static_cast<size_t>(source.bytes()));
  }
}

void convert_add(const ConstView& from, const View& to) { HWY_DYNAMIC_DISPATCH(convert_onto)(from, to); }

}  // namespace tessera
#endif
