#include "shard/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/amount.h"
#include "cluster/counting_communicator.h"
#include "device/counting_device.h"
#include "kernels/counting_kernels.h"
#include "model/layer.h"
#include "shard/layout.h"
#include "shard/sharded_model.h"

namespace tessera {
namespace {

/// The part of the plan that memory of a purpose belongs to; what no part names is the kernels'.
struct Part {
  const char* purpose;
  int64_t MemoryPlan::*bytes;
};
constexpr std::array parts = {Part{"master weights", &MemoryPlan::shards},
                              Part{"optimizer state", &MemoryPlan::shards},
                              Part{"gradient shard", &MemoryPlan::shards},
                              Part{"weight shard", &MemoryPlan::shards},
                              Part{"frozen weights", &MemoryPlan::shards},
                              Part{"gathered units", &MemoryPlan::gathered},
                              Part{"unit gradients", &MemoryPlan::unit_gradients},
                              Part{"activations", &MemoryPlan::activations},
                              Part{"rotary tables", &MemoryPlan::activations},
                              Part{"head", &MemoryPlan::head},
                              Part{"logits", &MemoryPlan::head}};

int64_t MemoryPlan::*part_of(const std::string& purpose) {
  const auto found = std::ranges::find(parts, purpose, &Part::purpose);
  return found == parts.end() ? &MemoryPlan::kernels : found->bytes;
}

}  // namespace

MemoryPlan plan_memory(DeviceKind kind, const ModelSpec& spec, const ShardedModelSettings& settings,
                       const GroupSizes& ranks) {
  CountingDevice device(kind);
  const auto kernels = make_counting_kernels();
  Profiler profiler(device);
  const auto group_of = [](int size) { return std::make_unique<CountingCommunicator>(size, size); };
  ShardGroups groups(group_of(ranks.trained), nullptr, group_of(ranks.frozen));
  const ShardedModel counted({device, *kernels, profiler, groups}, spec, settings);

  MemoryPlan plan;
  const auto add = [](int64_t& to, Amount bytes) { to = (Amount(to) + bytes).value(); };
  for (const auto& [purpose, bytes] : device.allocated(Memory::device)) add(plan.*part_of(purpose), bytes);
  for (const auto& [purpose, bytes] : device.allocated(Memory::host))
    if (purpose != "batches" && purpose != "loss") add(plan.host, bytes);
  return plan;
}

ActivationSizes activation_sizes(const ModelSpec& spec, const ModelSettings& model, int64_t max_tokens) {
  return {spec.C, max_tokens, compute_dtype(model), model.gradient_checkpointing, /*trains=*/true};
}

LargestShapes largest_shapes(const ModelSpec& spec, const ShardedModelSettings& settings, int ranks) {
  const int64_t T = settings.max_tokens;
  return largest_shapes(spec, compute_dtype(settings.model), T,
                        settings.longest > 0 ? std::min(settings.longest, T) : T,
                        ShardLayout(spec, 0, ranks, blocks_of(settings.optimizer), settings.least_bucket).size());
}

void plan_device(MemoryPlan& plan, Kernels& kernels, const LargestShapes& largest) {
  plan.kernels = (Amount(plan.kernels) + kernels.workspace_bytes(largest)).value();
}

int64_t MemoryPlan::total() const {
  return (Amount(shards) + gathered + unit_gradients + activations + head + kernels).value();
}

std::string MemoryPlan::describe() const {
  const auto mb = [](int64_t bytes) { return static_cast<double>(bytes) / 1e6; };
  return fmt::format(
      "memory per rank: {:.0f} MB (shards {:.0f}, gathered units {:.0f}, unit gradients {:.0f}, activations {:.0f}, "
      "head {:.0f}{}){}",
      mb(total()), mb(shards), mb(gathered), mb(unit_gradients), mb(activations), mb(head),
      kernels >= 500'000 ? fmt::format(", kernels {:.0f}", mb(kernels)) : std::string(),
      host > 0 ? fmt::format(", and {:.0f} MB of host memory (shard.offload)", mb(host)) : std::string());
}

}  // namespace tessera
