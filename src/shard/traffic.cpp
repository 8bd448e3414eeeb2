#include "shard/traffic.h"

#include <algorithm>

#include "device/counting_device.h"
#include "kernels/counting_kernels.h"
#include "shard/sharded_model.h"

namespace tessera {
namespace {

Batch one_token() {
  Batch batch;
  batch.tokens = batch.targets = batch.positions = {0};
  batch.cu_seqlens = {0, 1};
  return batch;
}

}  // namespace

int shard_group_size(const Placement& placement, const ShardSettings& shard) {
  return shard_group_size(CountingCommunicator(placement.ranks, placement.ranks_per_host), shard,
                          placement.ranks_per_host);
}

SentBytes count_traffic(const Placement& placement, Route route, const ModelSpec& spec,
                        const ShardedModelSettings& settings, int64_t micro_batches) {
  // A shard group are neighbours, and one rank of each group are replicas (ShardGroups).
  const int size = shard_group_size(placement, settings.shard),
            groups_per_host = std::max(1, placement.ranks_per_host / size);
  const auto communicator = [&](int ranks, int per_host) {
    return std::make_unique<CountingCommunicator>(ranks, per_host, route);
  };
  auto frozen = communicator(size, std::min(size, placement.ranks_per_host));
  const bool replicates = replicates_adapter(spec, settings.shard);
  auto group = replicates ? communicator(1, 1) : communicator(size, std::min(size, placement.ranks_per_host));
  auto replicas = replicates ? communicator(placement.ranks, placement.ranks_per_host)
                             : communicator(placement.ranks / size, groups_per_host);
  const CountingCommunicator &in_frozen = *frozen, &in_group = *group, &in_replicas = *replicas;
  const auto sent = [&] { return in_frozen.sent() + in_group.sent() + in_replicas.sent(); };
  const bool has_replicas = replicas->size() > 1;
  ShardGroups groups(std::move(group), has_replicas ? std::move(replicas) : nullptr, std::move(frozen));

  CountingDevice device(DeviceKind::cpu);
  const auto kernels = make_counting_kernels();
  Profiler profiler(device);
  ShardedModelSettings of_one_token = settings;
  of_one_token.max_tokens = of_one_token.longest = 1;
  ShardedModel counted({device, *kernels, profiler, groups}, spec, of_one_token);
  // What is frozen may still lie where the update before has gathered it: the second update is as all that follow.
  counted.begin_update(1);
  counted.train(one_token(), 1, /*last=*/true);
  counted.cast_weights();
  const SentBytes before = sent();
  counted.begin_update(2);
  // Between the first micro-batch and the last all send the same: one of them is counted.
  const int64_t counted_batches = std::min<int64_t>(micro_batches, 3);
  SentBytes at_first, before_last;
  for (int64_t m = 0; m < counted_batches; ++m) {
    if (m == 1) at_first = sent();
    if (m + 1 == counted_batches) before_last = sent();
    counted.train(one_token(), 1, m + 1 == counted_batches);
  }
  return sent() - before + (before_last - at_first) * (micro_batches - counted_batches);
}

}  // namespace tessera
