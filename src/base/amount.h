#pragma once
#include <cstdint>
#include <limits>

namespace tessera {

/// A size made of numbers that a user or a file gives, none below zero.  A sum or a product that int64 cannot hold is
/// the largest int64: it is still more than there is, where int64 itself would wrap round and may come out as nothing.
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
