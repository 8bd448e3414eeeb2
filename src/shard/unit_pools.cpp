#include "shard/unit_pools.h"

#include <algorithm>
#include <map>

namespace tessera {
namespace {

int64_t most_at_once(const std::vector<size_t>& units, const UnitsAtOnce& at_once) {
  int64_t most = 0;
  for (const std::vector<size_t>& in_use : at_once)
    most = std::max<int64_t>(most, std::ranges::count_if(units, [&](size_t unit) {
                               return std::ranges::find(in_use, unit) != in_use.end();
                             }));
  return most;
}

int64_t memory_of(const UnitPool& pool) { return pool.slots * pool.size; }

UnitPool merged(const UnitPool& a, const UnitPool& b, const UnitsAtOnce& at_once) {
  UnitPool pool = a;
  pool.units.insert(pool.units.end(), b.units.begin(), b.units.end());
  pool.size = std::max(a.size, b.size);
  pool.slots = most_at_once(pool.units, at_once);
  return pool;
}

/// A unit that shares slots with others is gathered again more often: less would not pay for that.
constexpr double least_saving = 0.05;

/// Joins the two neighbours that save most; false where none save enough.
bool merge_once(std::vector<UnitPool>& pools, const UnitsAtOnce& at_once) {
  int64_t most_saved = 0;
  size_t best = 0;
  UnitPool joined;
  for (size_t i = 0; i + 1 < pools.size(); ++i) {
    UnitPool pool = merged(pools[i], pools[i + 1], at_once);
    const int64_t apart = memory_of(pools[i]) + memory_of(pools[i + 1]), saved = apart - memory_of(pool);
    if (saved <= most_saved || static_cast<double>(saved) < least_saving * static_cast<double>(apart)) continue;
    most_saved = saved;
    best = i;
    joined = std::move(pool);
  }
  if (most_saved == 0) return false;
  pools[best] = std::move(joined);
  pools.erase(pools.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  return true;
}

void add(std::vector<size_t>& units, size_t unit) {
  if (std::ranges::find(units, unit) == units.end()) units.push_back(unit);
}

}  // namespace

std::vector<UnitPool> make_unit_pools(const std::vector<int64_t>& sizes, const UnitsAtOnce& at_once) {
  std::map<int64_t, UnitPool> by_size;
  for (size_t unit = 0; unit < sizes.size(); ++unit) {
    if (sizes[unit] == 0) continue;
    UnitPool& pool = by_size[sizes[unit]];
    pool.units.push_back(unit);
    pool.size = sizes[unit];
  }
  std::vector<UnitPool> pools;
  for (auto& [size, pool] : by_size) {
    pool.slots = most_at_once(pool.units, at_once);
    pools.push_back(std::move(pool));
  }
  while (merge_once(pools, at_once)) {
  }
  return pools;
}

std::vector<size_t> visits_of_pass(size_t units, bool with_backward) {
  std::vector<size_t> visits;
  for (size_t unit = 0; unit < units; ++unit) visits.push_back(unit);
  if (with_backward)
    for (size_t unit = units - 1; unit-- > 1;) visits.push_back(unit);
  return visits;
}

UnitsAtOnce gathered_at_once(const std::vector<UnitSpec>& units, const std::vector<size_t>& visits, int64_t ahead) {
  UnitsAtOnce at_once;
  for (size_t i = 0; i < visits.size(); ++i) {
    std::vector<size_t> in_use;
    const size_t end = std::min(visits.size(), i + static_cast<size_t>(ahead) + 1);
    for (size_t k = i; k < end; ++k) add(in_use, visits[k]);
    if (const auto borrowed = units[visits[i]].borrows) add(in_use, *borrowed);
    at_once.push_back(std::move(in_use));
  }
  return at_once;
}

UnitsAtOnce gradients_at_once(const std::vector<UnitSpec>& units) {
  UnitsAtOnce at_once;
  std::vector<size_t> borrowed;  // whose gradient has begun
  for (size_t unit = units.size(); unit-- > 0;) {
    std::vector<size_t> in_use = {unit};
    if (unit + 1 < units.size()) add(in_use, unit + 1);
    if (units[unit].borrows) add(borrowed, *units[unit].borrows);
    for (const size_t other : borrowed)
      if (other <= unit) add(in_use, other);
    at_once.push_back(std::move(in_use));
  }
  return at_once;
}

UnitsAtOnce places_at_once(const UnitsAtOnce& units, const std::vector<size_t>& place) {
  UnitsAtOnce at_once;
  for (const std::vector<size_t>& in_use : units) {
    at_once.emplace_back();
    for (const size_t unit : in_use) add(at_once.back(), place[unit]);
  }
  return at_once;
}

}  // namespace tessera
