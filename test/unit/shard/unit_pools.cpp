#include "shard/unit_pools.h"

#include <catch2/catch.hpp>
#include <numeric>

#include "shard/prefetch.h"

using namespace tessera;

namespace {

struct Units {
  std::vector<int64_t> sizes;
  std::vector<UnitSpec> specs;
};

Units units_of(const std::vector<int64_t>& sizes, bool last_borrows_first = false) {
  Units units{sizes, std::vector<UnitSpec>(sizes.size())};
  if (last_borrows_first) units.specs.back().borrows = 0;
  return units;
}

/// {slots, size of a slot} of each pool, the smallest first.
std::vector<std::pair<int64_t, int64_t>> pools_of(const Units& units, const UnitsAtOnce& at_once) {
  std::vector<std::pair<int64_t, int64_t>> pools;
  size_t members = 0;
  for (const UnitPool& pool : make_unit_pools(units.sizes, at_once)) {
    pools.emplace_back(pool.slots, pool.size);
    members += pool.units.size();
  }
  REQUIRE(members == units.sizes.size());
  return pools;
}

using Pools = std::vector<std::pair<int64_t, int64_t>>;
const ShardSettings usual;  // two gathers ahead

}  // namespace

TEST_CASE("Layers take turns in three slots, and the ends in one", "[shard]") {
  const auto units = units_of({1000, 100, 100, 100, 100, 1001});
  CHECK(pools_of(units, gathered_at_once(usual, units.specs)) == Pools{{3, 100}, {1, 1001}});
  CHECK(pools_of(units, gradients_at_once(units.specs)) == Pools{{2, 100}, {1, 1001}});
}

TEST_CASE("A tied head's embedding has a slot of its own for as long as its gradient is made", "[shard]") {
  const auto units = units_of({1000, 100, 100, 100, 1}, /*last_borrows_first=*/true);
  CHECK(pools_of(units, gathered_at_once(usual, units.specs)) == Pools{{1, 1}, {3, 100}, {1, 1000}});
  CHECK(pools_of(units, gradients_at_once(units.specs)) == Pools{{1, 1}, {2, 100}, {1, 1000}});
}

TEST_CASE("Layers of different sizes share slots where that takes less", "[shard]") {
  const auto dense_first = units_of({2000, 100, 300, 300, 300, 300, 2000});
  CHECK(pools_of(dense_first, gathered_at_once(usual, dense_first.specs)) == Pools{{3, 300}, {1, 2000}});
  const auto alternating = units_of({2000, 100, 300, 100, 300, 100, 300, 2000});
  CHECK(pools_of(alternating, gathered_at_once(usual, alternating.specs)) == Pools{{2, 100}, {2, 300}, {1, 2000}});
  const auto about_equal = units_of({110, 100, 100, 100, 100, 110});
  CHECK(pools_of(about_equal, gathered_at_once(usual, about_equal.specs)) == Pools{{3, 110}});
}

TEST_CASE("Without prefetch a unit is alone, and shard_grad_op keeps all", "[shard]") {
  const auto units = units_of({1000, 100, 100, 100, 1000});
  ShardSettings settings;
  settings.forward_prefetch = false;
  settings.backward_prefetch = BackwardPrefetch::none;
  CHECK(pools_of(units, gathered_at_once(settings, units.specs)) == Pools{{1, 1000}});
  settings.strategy = Strategy::shard_grad_op;
  CHECK(pools_of(units, gathered_at_once(settings, units.specs)) == Pools{{3, 100}, {2, 1000}});
}
