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
void convert_any(const void* from_data, DType from_type, void* to_data, DType to_type, int64_t n) {
  with_compute_type(from_type, [&](auto from_element) {
    with_compute_type(to_type, [&](auto to_element) {
      const auto* from = static_cast<const decltype(from_element)*>(from_data);
      auto* to = static_cast<decltype(to_element)*>(to_data);
      for_each_vector(n, [&](int64_t i, auto span) {
        const Floats value = load(from + i, span);
        store(add ? hn::Add(value, load(to + i, span)) : value, to + i, span);
      });
    });
  });
}

// Named for the dispatch table, which cannot hold templates.
void convert_over(const void* from, DType from_type, void* to, DType to_type, int64_t n) {
  convert_any<false>(from, from_type, to, to_type, n);
}
void convert_onto(const void* from, DType from_type, void* to, DType to_type, int64_t n) {
  convert_any<true>(from, from_type, to, to_type, n);
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {

HWY_EXPORT(convert_over);
HWY_EXPORT(convert_onto);

void convert(const void* from, DType from_type, void* to, DType to_type, int64_t n) {
  if (from_type == to_type) {
    std::memcpy(to, from, static_cast<size_t>(n * size_of(from_type)));
  } else {
    HWY_DYNAMIC_DISPATCH(convert_over)(from, from_type, to, to_type, n);
  }
}

void convert_add(const void* from, DType from_type, void* to, DType to_type, int64_t n) {
  HWY_DYNAMIC_DISPATCH(convert_onto)(from, from_type, to, to_type, n);
}

}  // namespace tessera
#endif
