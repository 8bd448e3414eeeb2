#include "shard/prefetch.h"

#include <numeric>

namespace tessera {

int64_t furthest_look_ahead(const ShardSettings& settings, int64_t layers) {
  return settings.limit_all_gathers ? 2 : layers;
}

UnitsAtOnce gathered_at_once(const ShardSettings& settings, const std::vector<UnitSpec>& units) {
  if (settings.strategy == Strategy::shard_grad_op) {
    std::vector<size_t> all(units.size());
    std::iota(all.begin(), all.end(), size_t{0});
    return {all};
  }
  const bool looks_ahead = settings.forward_prefetch || settings.backward_prefetch != BackwardPrefetch::none;
  const auto layers = static_cast<int64_t>(units.size()) - 2;
  return gathered_at_once(units, visits_of_pass(units.size(), /*with_backward=*/true),
                          looks_ahead ? furthest_look_ahead(settings, layers) : 0);
}

}  // namespace tessera
