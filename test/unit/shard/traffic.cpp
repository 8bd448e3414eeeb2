#include "shard/traffic.h"

#include <catch2/catch.hpp>

#include "support/small_training.h"

using namespace tessera;
using namespace tessera::test;

namespace {

SentBytes planned(const Placement& placement, Route route, const ShardSettings& shard, int64_t micro_batches = 1) {
  return count_traffic(placement, route, odd_model(false), with_moments(shard, fp32().model, 24), micro_batches);
}

int64_t all_of(const SentBytes& sent) { return sent.inside_host + sent.between_hosts; }

}  // namespace

TEST_CASE("The bytes that ranks send in an update are those that are planned", "[shard]") {
  for (const Strategy strategy :
       {Strategy::full_shard, Strategy::shard_grad_op, Strategy::no_shard, Strategy::hybrid_shard})
    for (const int ranks : {1, 2, 4})
      for (const bool tied : {false, true}) {
        INFO("strategy " << static_cast<int>(strategy) << ", " << ranks << " ranks, tied " << tied);
        Setting setting = fp32();
        setting.shard.strategy = strategy;
        setting.shard.group_size = ranks == 4 ? 2 : ranks;
        setting.least_bucket = tied ? 1 << 20 : 0;
        const int micro_batches = 4 / ranks;  // of each rank in train()
        const SentBytes plan =
            count_traffic({ranks, ranks}, Route::direct, odd_model(tied), settings_of(setting), micro_batches);
        CHECK(plan.between_hosts == 0);
        CHECK(plan.inside_host * ranks == train(odd_model(tied), setting, ranks).bytes_sent);
      }
}

TEST_CASE("Bytes are told apart by the host of their receiver", "[shard]") {
  const SentBytes together = planned({4, 4}, Route::direct, {}), apart = planned({4, 2}, Route::direct, {});
  CHECK(all_of(apart) == all_of(together));
  CHECK(apart.inside_host * 2 == apart.between_hosts);
  // With hybrid_shard only sums of gradients leave a host: half of them, and each is read back.
  ShardSettings hybrid;
  hybrid.strategy = Strategy::hybrid_shard;
  const SentBytes replicas = planned({4, 2}, Route::direct, hybrid);
  CHECK(replicas.between_hosts > 0);
  CHECK(replicas.between_hosts < apart.between_hosts);
  // A ring leaves each of the two hosts once.
  const SentBytes ring = planned({4, 2}, Route::ring, {});
  CHECK(all_of(ring) == all_of(together));
  CHECK(ring.between_hosts == all_of(ring) / 2);
}

TEST_CASE("Each micro-batch between the first and the last sends the same", "[shard]") {
  for (const Strategy strategy : {Strategy::full_shard, Strategy::shard_grad_op}) {
    ShardSettings shard;
    shard.strategy = strategy;
    const auto sent = [&](int64_t micro_batches) {
      return planned({4, 4}, Route::direct, shard, micro_batches).inside_host;
    };
    CHECK(sent(5) - sent(4) == sent(4) - sent(3));
    CHECK(sent(1'000'000'000) > sent(5));
    CHECK(sent(2) < 2 * sent(1));
  }
}
