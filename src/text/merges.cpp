#include "text/merges.h"

#include <algorithm>
#include <bit>

namespace tessera {

void Merges::reserve(size_t merges) {
  const size_t slots = std::bit_ceil(std::max<size_t>(2, merges + merges / 2 + 1));
  slots_.assign(slots, Slot());
  mask_ = slots - 1;
  shift_ = 64 - std::countr_zero(slots);
}

void Merges::add(int32_t left, int32_t right, Merge merge) {
  const uint64_t key = key_of(left, right);
  size_t at = slot_of(key);
  while (slots_[at].key != free_key && slots_[at].key != key) at = (at + 1) & mask_;
  slots_[at] = {key, merge};
}

}  // namespace tessera
