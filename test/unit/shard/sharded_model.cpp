#include "shard/sharded_model.h"

#include <catch2/catch.hpp>

#include "shard/memory.h"
#include "support/small_training.h"

using namespace tessera;
using namespace tessera::test;

TEST_CASE("The gradient of every tensor agrees with finite differences of the loss", "[shard]") {
  for (const auto& [tied, qk_norm] : {std::pair{false, false}, {true, true}}) require_slopes(odd_model(tied, qk_norm));
}

TEST_CASE("Every checkpointing setting gives the same bits", "[shard]") {
  for (const bool qk_norm : {false, true}) {
    Setting setting = fp32();
    setting.model.gradient_checkpointing = Checkpointing::none;
    const Result none = train(odd_model(false, qk_norm), setting, 2);
    for (const Checkpointing other : {Checkpointing::selective, Checkpointing::full}) {
      setting.model.gradient_checkpointing = other;
      const Result result = train(odd_model(false, qk_norm), setting, 2);
      CHECK(result.gradient == none.gradient);
      CHECK(result.loss_sum == none.loss_sum);
    }
  }
}

TEST_CASE("Any number of ranks makes the gradient that one rank makes", "[shard]") {
  for (const bool tied : {false, true}) {
    const Result one = train(odd_model(tied), fp32(), 1);
    for (const int ranks : {2, 3, 4, 5}) {
      INFO(ranks << " ranks, tied " << tied);
      const Result many = train(odd_model(tied), fp32(), ranks);
      CHECK(many.loss_sum == Approx(one.loss_sum).epsilon(1e-6));
      CHECK(distance(one.gradient, many.gradient) < 1e-6);
    }
  }
}

TEST_CASE("Every strategy makes the gradient that one rank makes", "[shard]") {
  const Result one = train(odd_model(true), fp32(), 1);
  for (const Strategy strategy :
       {Strategy::full_shard, Strategy::shard_grad_op, Strategy::no_shard, Strategy::hybrid_shard}) {
    Setting setting = fp32();
    setting.shard.strategy = strategy;
    setting.shard.group_size = 2;
    CHECK(distance(one.gradient, train(odd_model(true), setting, 4).gradient) < 1e-6);
  }
}

TEST_CASE("Layers that share a bucket get the gradient that they get alone", "[shard]") {
  const ModelSpec config = odd_model(true);
  const Result alone = train(config, fp32(), 1);
  const int64_t layer = ShardLayout(config, 0, 1).units()[1].extent;
  for (const int ranks : {1, 2, 3, 4})
    for (const Offload offload : {Offload::none, Offload::optimizer, Offload::params})
      for (const int64_t least : {layer + 1, 1000 * layer}) {  // two layers, and all
        INFO(ranks << " ranks, offload " << static_cast<int>(offload) << ", least " << least);
        Setting setting = fp32();
        setting.shard.offload = offload;
        setting.shard.strategy = ranks == 4 ? Strategy::hybrid_shard : Strategy::full_shard;
        setting.shard.group_size = 2;
        setting.least_bucket = least;
        const Result together = train(config, setting, ranks);
        CHECK(together.loss_sum == Approx(alone.loss_sum).epsilon(1e-6));
        CHECK(distance(together.gradient, alone.gradient) < 1e-6);
      }
}

TEST_CASE("Buckets hold layers until they are large enough, and the ends alone", "[shard]") {
  const ModelSpec config = odd_model(false);
  const auto names = [&](int64_t least) {
    const ShardLayout layout(config, 0, 2, {}, least);
    std::vector<std::string> names;
    for (const Bucket& bucket : layout.buckets()) names.push_back(bucket.name);
    return names;
  };
  const int64_t layer = ShardLayout(config, 0, 1).units()[1].extent;
  using Names = std::vector<std::string>;
  CHECK(names(0) == Names{"embedding", "layer 0", "layer 1", "layer 2", "head"});
  CHECK(names(layer) == names(0));
  CHECK(names(layer + 1) == Names{"embedding", "layer 0 to layer 1", "layer 2", "head"});
  CHECK(names(1000 * layer) == Names{"embedding", "layer 0 to layer 2", "head"});
}

TEST_CASE("The order of gathers and reductions changes nothing", "[shard]") {
  const Result reference = train(odd_model(false), fp32(), 3);
  for (const BackwardPrefetch backward :
       {BackwardPrefetch::backward_pre, BackwardPrefetch::backward_post, BackwardPrefetch::none})
    for (const bool forward : {true, false})
      for (const bool limit : {true, false}) {
        Setting setting = fp32();
        setting.shard.backward_prefetch = backward;
        setting.shard.forward_prefetch = forward;
        setting.shard.limit_all_gathers = limit;
        CHECK(train(odd_model(false), setting, 3).gradient == reference.gradient);
      }
}

TEST_CASE("The same ranks give the same bits", "[shard]") {
  Setting setting;  // bf16
  CHECK(train(odd_model(false), setting, 3).gradient == train(odd_model(false), setting, 3).gradient);
}

TEST_CASE("A rank allocates what the memory plan says", "[shard]") {
  for (const bool tied : {false, true})
    for (const int ranks : {1, 2, 3})
      for (const Precision precision : {Precision::bf16, Precision::fp32})
        for (const Checkpointing checkpointing : {Checkpointing::none, Checkpointing::selective, Checkpointing::full})
          for (const Strategy strategy : {Strategy::full_shard, Strategy::shard_grad_op})
            for (const Offload offload : {Offload::none, Offload::optimizer, Offload::params}) {
              Setting setting;
              setting.model.precision = precision;
              setting.model.gradient_checkpointing = checkpointing;
              setting.shard.strategy = strategy;
              setting.shard.offload = offload;
              setting.least_bucket = tied ? 1 << 20 : 0;
              const ModelSpec config = odd_model(tied, /*qk_norm=*/true);
              const auto plan = plan_memory(DeviceKind::cpu, config, settings_of(setting), ranks);
              for (const int64_t bytes : train(config, setting, ranks).allocated) CHECK(bytes == plan.total());
            }
}

TEST_CASE("Ranks that cannot be cut into groups are refused", "[shard]") {
  Setting setting = fp32();
  setting.shard.strategy = Strategy::hybrid_shard;
  setting.shard.group_size = 2;
  CHECK_THROWS_WITH(train(odd_model(false), setting, 3), Catch::Contains("groups of 2"));
}

TEST_CASE("The shards of all ranks hold every element of every tensor once", "[shard]") {
  const ModelSpec config = odd_model(false);
  for (const auto& [ranks, least_bucket] : {std::pair{1, 0}, {2, 0}, {3, 0}, {4, 5000}, {7, 1 << 20}}) {
    std::map<std::string, std::vector<int>> seen;
    for (int rank = 0; rank < ranks; ++rank) {
      const ShardLayout layout(config, rank, ranks, {}, least_bucket);
      for (const ShardPiece& piece : layout.pieces()) {
        auto& counts = seen[piece.tensor->name];
        counts.resize(static_cast<size_t>(piece.tensor->size()));
        for (int64_t i = 0; i < piece.count; ++i) ++counts[static_cast<size_t>(piece.tensor_offset + i)];
      }
    }
    for (const auto& [name, counts] : seen) CHECK(counts == std::vector<int>(counts.size(), 1));
  }
}

TEST_CASE("Update ranges cover the shard and treat every tensor by its kind", "[shard]") {
  const ModelSpec config = odd_model(false);
  for (const auto& [ranks, least_bucket] : {std::pair{1, 0}, {3, 0}, {3, 1 << 20}}) {
    for (int rank = 0; rank < ranks; ++rank) {
      const ShardLayout layout(config, rank, ranks, {}, least_bucket);
      int64_t at = 0;
      for (const auto& range : layout.update_ranges()) {
        CHECK(range.begin == at);
        at = range.end;
        for (const ShardPiece& piece : layout.pieces())
          if (piece.shard_offset >= range.begin && piece.shard_offset < range.end) {
            CHECK(piece.tensor->decay == range.decay);
            CHECK(piece.shard_offset + piece.count <= range.end);
          }
      }
      CHECK(at == layout.size());
    }
  }
}

TEST_CASE("No rank's slice cuts a block, and what is not in blocks lies together", "[shard]") {
  const ModelSpec config = test::odd_model_with_blocks(false);
  const TensorBlocks blocks{256, 4096};
  for (const auto& [ranks, least_bucket] : {std::pair{1, 0}, {2, 0}, {3, 0}, {7, 0}, {2, 1 << 20}, {7, 1 << 20}})
    for (int rank = 0; rank < ranks; ++rank) {
      const ShardLayout layout(config, rank, ranks, blocks, least_bucket);
      for (const auto& range : layout.update_ranges()) CHECK((!range.in_blocks || range.begin % blocks.elements == 0));
      int64_t unblocked = 0, in_blocks = 0;  // elements so far
      for (const ShardPiece& piece : layout.pieces()) {
        const auto range = std::ranges::find_if(layout.update_ranges(), [&](const auto& one) {
          return one.begin <= piece.shard_offset && piece.shard_offset + piece.count <= one.end;
        });
        REQUIRE(range != layout.update_ranges().end());
        CHECK(range->in_blocks == (piece.tensor->size() >= 4096));
        if (range->in_blocks) {
          CHECK(piece.shard_offset % blocks.elements == 0);
          CHECK(piece.tensor_offset % blocks.elements == 0);
          in_blocks += piece.count;
        } else {
          CHECK(layout.unblocked_offset(piece.shard_offset) >= unblocked);
          unblocked = layout.unblocked_offset(piece.shard_offset) + piece.count;
        }
      }
      CHECK(unblocked <= layout.unblocked_size());
      CHECK(in_blocks == layout.size() - layout.unblocked_size());  // nothing but tensors
    }
}

TEST_CASE("A steady update allocates nothing and waits for the streams at its end alone", "[shard]") {
  const auto device = make_cpu_device(1);
  const auto kernels = make_kernels(*device);
  for (const Offload offload : {Offload::none, Offload::optimizer, Offload::params}) {
    const auto cost = test::cost_of_a_steady_update(*device, *kernels, offload);
    CHECK(cost.allocations == 0);
    CHECK(cost.waits == (offload == Offload::none ? 2 : 4));
  }
}

TEST_CASE("More micro-batches than the host may be ahead give the sums of all", "[shard]") {
  const auto losses = [](int repeats) {
    const auto device = make_cpu_device(1);
    const auto kernels = make_kernels(*device);
    double sum = 0;
    try_on_ranks(1, [&](Communicator& world) {
      Profiler profiler(*device);
      const Setting setting = fp32();
      ShardGroups groups(world, setting.shard, 1, *device);
      const ModelSpec config = odd_model(false);
      ShardedModel model({*device, *kernels, profiler, groups}, config, with_moments(setting.shard, setting.model, 24));
      fill_weights(model);
      model.reset_loss();
      for (int i = 0; i < repeats; ++i)
        for (Batch& batch : four_batches(config.V)) model.evaluate(std::move(batch));
      model.synchronize();
      sum = model.loss_sum();
    });
    return sum;
  };
  const double once = losses(1);
  CHECK(once > 0);
  CHECK(losses(6) == Approx(6 * once).epsilon(1e-12));
}
