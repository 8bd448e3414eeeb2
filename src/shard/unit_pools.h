#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "shard/layout.h"

namespace tessera {

/// Units that take turns in the same slots.
struct UnitPool {
  std::vector<size_t> units;
  int64_t size = 0;   ///< of a slot: that of the largest unit
  int64_t slots = 0;  ///< as many of the units as are in use at once
};

/// Units that are in use at the same time.
using UnitsAtOnce = std::vector<std::vector<size_t>>;

/// Cuts the units into pools, but for those of size 0: those of one size share slots, and those of
/// several sizes where that takes clearly less memory.
std::vector<UnitPool> make_unit_pools(const std::vector<int64_t>& sizes, const UnitsAtOnce& at_once);

/// The units in the order of a pass: forward, and for training back to the first layer.
std::vector<size_t> visits_of_pass(size_t units, bool with_backward);

/// What is gathered at once in these visits, where each unit is foreseen while one of the `ahead` before it computes.
UnitsAtOnce gathered_at_once(const std::vector<UnitSpec>& units, const std::vector<size_t>& visits, int64_t ahead);

/// What has a gradient at once in the backward pass, from the last unit to the first: while one is made, the one before
/// it is reduced; what a unit borrows has one until its own turn.
UnitsAtOnce gradients_at_once(const std::vector<UnitSpec>& units);

/// The same of what the units lie in, `place[unit]`.
UnitsAtOnce places_at_once(const UnitsAtOnce& units, const std::vector<size_t>& place);

}  // namespace tessera
