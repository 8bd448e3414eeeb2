#include "shard/traffic.h"

#include <algorithm>

#include "cluster/counting_communicator.h"
#include "device/counting_device.h"
#include "kernels/counting_kernels.h"
#include "shard/sharded_model.h"

namespace tessera {
namespace {

/// A group of neighbours: the first fill rank 0's host.
std::unique_ptr<CountingCommunicator> group_of(int size, const Placement& placement) {
  const int inside = std::min(size, placement.ranks_per_host);
  return std::make_unique<CountingCommunicator>(inside - 1, size - inside);
}

/// Every group's first rank.
std::unique_ptr<CountingCommunicator> replicas_of(int group, const Placement& placement) {
  const int inside = std::max(1, placement.ranks_per_host / group);
  return std::make_unique<CountingCommunicator>(inside - 1, placement.ranks / group - inside);
}

Batch full_batch(int64_t tokens) {
  const auto size = static_cast<size_t>(tokens);
  Batch batch;
  batch.tokens.resize(size);
  batch.targets.resize(size);
  batch.positions.resize(size);
  batch.cu_seqlens.push_back(static_cast<int32_t>(tokens));
  return batch;
}

}  // namespace

int shard_group_size(const Placement& placement, const ShardSettings& shard) {
  const CountingCommunicator world(placement.ranks - 1, 0);
  return shard_group_size(world, shard, placement.ranks_per_host);
}

Traffic count_traffic(const Placement& placement, const ModelSpec& spec, const ShardSettings& shard,
                      const ModelSettings& model, int64_t max_tokens, int64_t micro_batches) {
  const int size = shard_group_size(placement, shard);
  auto group = group_of(size, placement);
  auto replicas = size < placement.ranks ? replicas_of(size, placement) : nullptr;
  const CountingCommunicator *in_group = group.get(), *in_replicas = replicas.get();
  ShardGroups groups(std::move(group), std::move(replicas));

  CountingDevice device(DeviceKind::cpu);
  const auto kernels = make_counting_kernels();
  Profiler profiler(device);
  ShardedModel counted(device, *kernels, profiler, groups, spec, shard, model, max_tokens);
  counted.begin_update(1);
  for (int64_t m = 0; m < micro_batches; ++m) counted.train(full_batch(max_tokens), 1, m + 1 == micro_batches);
  counted.finish_gradients();

  Traffic traffic{in_group->sent_inside(), in_group->sent_outside()};
  if (in_replicas != nullptr) {
    traffic.inside_host += in_replicas->sent_inside();
    traffic.between_hosts += in_replicas->sent_outside();
  }
  return traffic;
}

}  // namespace tessera
