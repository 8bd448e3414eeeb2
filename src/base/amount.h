#pragma once
#include <cstdint>
#include <limits>

namespace tessera {

/// A size computed from numbers of a user or a file, none below zero. A sum or product saturates at the largest int64,
/// where int64 itself would wrap around and might yield a small number.
class Amount {
 public:
  constexpr Amount(int64_t value = 0) : value_(value) {}
  constexpr int64_t value() const { return value_; }

  friend constexpr Amount operator+(Amount a, Amount b) {
    int64_t sum = 0;
    return __builtin_add_overflow(a.value_, b.value_, &sum) ? largest : sum;
  }
  friend constexpr Amount operator*(Amount a, Amount b) {
    int64_t product = 0;
    return __builtin_mul_overflow(a.value_, b.value_, &product) ? largest : product;
  }
  friend constexpr bool operator==(Amount a, Amount b) { return a.value_ == b.value_; }
  friend constexpr bool operator<(Amount a, Amount b) { return a.value_ < b.value_; }
  friend constexpr bool operator>(Amount a, Amount b) { return b < a; }
  friend constexpr bool operator<=(Amount a, Amount b) { return !(b < a); }

 private:
  static constexpr int64_t largest = std::numeric_limits<int64_t>::max();
  int64_t value_;
};

}  // namespace tessera
