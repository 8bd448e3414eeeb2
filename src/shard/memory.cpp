#include "shard/memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/amount.h"
#include "device/dtype.h"
#include "model/head.h"
#include "model/layer.h"
#include "model/rotary_tables.h"
#include "shard/device_batch.h"
#include "shard/host_update.h"
#include "shard/layout.h"
#include "shard/prefetch.h"

namespace tessera {
namespace {

/// Bytes a weight of the flat shard, by where they lie.
struct ShardBytes {
  int64_t device, host;
};

ShardBytes shard_bytes(Offload offload, int64_t b) {
  constexpr int64_t state = 16;  // master, two moments, gradient
  const int64_t weights = b == 2 ? 2 : 0;
  switch (offload) {
    case Offload::optimizer:
      return {.device = b, .host = state};
    case Offload::params:
      return {.device = 0, .host = state + weights};
    case Offload::none:
      break;
  }
  return {.device = state + weights, .host = 0};
}

}  // namespace

MemoryPlan plan_memory(DeviceKind device, const ModelSpec& spec, const ShardSettings& shard, const ModelSettings& model,
                       int ranks, int64_t max_tokens) {
  const ShardLayout layout(spec, 0, ranks);
  const auto& units = layout.units();
  const int64_t b = size_of(compute_dtype(model));
  const int64_t embedding = units.front().padded, head = units.back().padded, layer = layout.largest_layer();

  MemoryPlan plan;
  const ShardBytes shards = shard_bytes(shard.offload, b);
  plan.shards = layout.size() * shards.device;
  plan.host = layout.size() * shards.host;
  if (shard.offload == Offload::optimizer && b == 2) plan.host += 2 * b * host_update_piece;
  if (ranks > 1 || shard.offload == Offload::params) {
    const GatherSlots slots = gather_slots(shard, spec.L());
    const int64_t ends = spec.tied || slots.separate ? embedding + head : std::max(embedding, head);
    plan.gathered = b * (std::min(slots.layers, spec.L()) * layer + ends);
  }
  if (ranks > 1 || shard.offload != Offload::none) {
    const int64_t ends = spec.tied ? embedding + head : std::max(embedding, head);
    plan.unit_gradients = 4 * (std::min<int64_t>(2, spec.L()) * layer + ends);
    if (ranks > 1 && shard.offload != Offload::none) plan.unit_gradients += plan.unit_gradients / ranks;
  }
  const std::vector<DecoderLayer> layers = make_layers(spec, layout.unit_specs(), compute_dtype(model));
  plan.activations = (activation_bytes(device, activation_sizes(spec, model, max_tokens), slots_of(layers)) +
                      RotaryTables::bytes(spec, max_tokens))
                         .value();
  const int64_t chunk = loss_chunk(device, spec.V, max_tokens);
  plan.head = (Amount(max_tokens) * (3 * b * spec.C + 4) + Amount(chunk) * logit_columns(spec.V) * 4).value();
  return plan;
}

ActivationSizes activation_sizes(const ModelSpec& spec, const ModelSettings& model, int64_t max_tokens) {
  return {spec.C, max_tokens, compute_dtype(model), model.gradient_checkpointing, /*trains=*/true};
}

LargestShapes largest_shapes(const ModelSpec& spec, const ModelSettings& model, int ranks, int64_t max_tokens,
                             int64_t longest) {
  return largest_shapes(spec, compute_dtype(model), max_tokens, std::min(longest, max_tokens),
                        ShardLayout(spec, 0, ranks).size());
}

void plan_device(MemoryPlan& plan, const Device& device, Kernels& kernels, const LargestShapes& largest) {
  plan.kernels = kernels.workspace_bytes(largest) + batches_ahead * DeviceBatch::device_bytes(device, largest.T);
}

int64_t MemoryPlan::total() const {
  return (Amount(shards) + gathered + unit_gradients + activations + head + kernels).value();
}

std::string MemoryPlan::describe() const {
  const auto mb = [](int64_t bytes) { return static_cast<double>(bytes) / 1e6; };
  return fmt::format(
      "memory a rank: {:.0f} MB (shards {:.0f}, gathered units {:.0f}, unit gradients {:.0f}, activations {:.0f}, head "
      "{:.0f}{}){}",
      mb(total()), mb(shards), mb(gathered), mb(unit_gradients), mb(activations), mb(head),
      kernels > 0 ? fmt::format(", kernels {:.0f}", mb(kernels)) : std::string(),
      host > 0 ? fmt::format(", and {:.0f} MB of host memory (shard.offload)", mb(host)) : std::string());
}

}  // namespace tessera
