#include "shard/prefetch.h"

namespace tessera {

int64_t furthest_look_ahead(const ShardSettings& settings, int64_t layers) {
  return settings.limit_all_gathers ? 2 : layers;
}

GatherSlots gather_slots(const ShardSettings& settings, int64_t layers) {
  const bool looks_ahead = settings.forward_prefetch || settings.backward_prefetch != BackwardPrefetch::none;
  if (settings.strategy == Strategy::shard_grad_op) return {.layers = layers, .separate = true};
  return {.layers = looks_ahead ? furthest_look_ahead(settings, layers) + 1 : 1, .separate = false};
}

}  // namespace tessera
