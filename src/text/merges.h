#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera {

/// The pairs of tokens that merge, and their priority.
class Merges {
 public:
  static constexpr uint32_t no_rank = UINT32_MAX;
  struct Merge {
    uint32_t rank = no_rank;  ///< the lowest goes first
    int32_t id = -1;          ///< what the pair becomes
  };

  void reserve(size_t merges);
  /// An existing pair gets the new rank.
  void add(int32_t left, int32_t right, Merge merge);
  /// The merge of a pair; rank no_rank where there is none.
  Merge find(int32_t left, int32_t right) const {
    const uint64_t key = key_of(left, right);
    for (size_t at = slot_of(key);; at = (at + 1) & mask_) {
      if (slots_[at].key == key) return slots_[at].merge;
      if (slots_[at].key == free_key) return {};
    }
  }

 private:
  static constexpr uint64_t free_key = UINT64_MAX;
  struct Slot {
    uint64_t key = free_key;
    Merge merge;
  };
  static uint64_t key_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t key) const { return (key * 0x9E3779B97F4A7C15u) >> shift_; }

  std::vector<Slot> slots_{std::vector<Slot>(2)};
  size_t mask_ = 1;
  int shift_ = 63;
};

}  // namespace tessera
