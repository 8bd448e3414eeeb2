#pragma once
#include <concepts>
#include <cstdint>
#include <stdexcept>
#include <utility>

namespace tessera {

/// `value` as a To; throws where To cannot hold it.
template <std::integral To, std::integral From>
constexpr To narrow(From value) {
  if (!std::in_range<To>(value)) throw std::range_error("narrow: the number does not fit its type");
  return static_cast<To>(value);
}

/// a / b where b must divide a.
constexpr int64_t div_exact(int64_t a, int64_t b) {
  if (b == 0 || a % b != 0) throw std::logic_error("div_exact: the division leaves a remainder");
  return a / b;
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t multiple) { return ceil_div(a, multiple) * multiple; }

}  // namespace tessera
