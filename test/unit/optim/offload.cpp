// shard.offload: where the state lies, and who updates it, changes nothing that is computed.
#include <catch2/catch.hpp>
#include <map>
#include <mutex>
#include <set>

#include "optim/gradient_norm.h"
#include "optim/optimizer.h"
#include "support/local_communicator.h"
#include "support/small_model.h"

using namespace tessera;
using test::four_batches, test::odd_model, test::odd_model_with_blocks;

namespace {

struct Setting {
  Strategy strategy = Strategy::full_shard;
  Offload offload = Offload::none;
  Precision precision = Precision::bf16;
  OptimizerName optimizer = OptimizerName::adamw;

  ModelSpec model(bool tied) const {
    return optimizer == OptimizerName::adamw_8bit ? odd_model_with_blocks(tied) : odd_model(tied);
  }
};

struct Result {
  std::vector<double> losses, squared_norms;                       // of each rank and update
  std::map<int, std::vector<float>> master, exp_avg_sq, gradient;  // by rank
  std::map<int, std::vector<uint8_t>> exp_avg_codes;
  bool operator==(const Result&) const = default;
};

void fill_weights(ShardedModel& model) {
  std::mt19937 random(static_cast<unsigned>(model.group().rank()));
  std::normal_distribution<float> normal(0, 0.3f);
  for (const ShardPiece& piece : model.layout().pieces())
    for (int64_t i = 0; i < piece.count; ++i) model.state().master.as<float>()[piece.shard_offset + i] = normal(random);
  model.cast_weights();
}

template <typename Number = float>
std::vector<Number> numbers(const Buffer& buffer) {
  return {buffer.as<Number>(), buffer.as<Number>() + buffer.bytes() / int64_t{sizeof(Number)}};
}

/// Three updates of four micro-batches a rank, with replicas under hybrid_shard and no_shard.
Result train(const Setting& setting, bool tied, int ranks) {
  Result result;
  std::map<int, std::pair<std::vector<double>, std::vector<double>>> numbers_of;
  std::mutex mutex;
  const auto errors = test::try_on_ranks(ranks, [&](Communicator& world) {
    const auto device = make_cpu_device(1);
    const auto kernels = make_kernels(*device);
    Profiler profiler(*device);
    ShardSettings shard;
    shard.strategy = setting.strategy;
    shard.group_size = 2;
    shard.offload = setting.offload;
    ModelSettings model_settings;
    model_settings.precision = setting.precision;
    TrainSettings settings;
    settings.optimizer = setting.optimizer;
    settings.weight_decay = 0.1;
    const ModelSpec spec = setting.model(tied);
    ShardGroups groups(world, shard, world.size(), *device);
    ShardedModel model({*device, *kernels, profiler, groups}, spec,
                       {shard, model_settings, optimizer_states(settings), 24});
    GradientNorm norm(model);
    const auto optimizer = make_optimizer(model, settings);
    fill_weights(model);
    std::vector<double> losses, norms;
    for (int64_t k = 1; k <= 3; ++k) {
      model.begin_update(k);
      auto batches = four_batches(spec.V);
      std::rotate(batches.begin(), batches.begin() + world.rank() % 4, batches.end());
      for (size_t i = 0; i < batches.size(); ++i) model.train(std::move(batches[i]), 0.1f, i + 1 == batches.size());
      model.finish_gradients();
      norm.measure();
      model.synchronize();
      losses.push_back(model.loss_sum());
      norms.push_back(norm.squared());
      optimizer->update(k, 1e-2, 0.5);
    }
    model.synchronize();
    const std::lock_guard lock(mutex);
    numbers_of[world.rank()] = {losses, norms};
    result.master[world.rank()] = numbers(model.state().master);
    result.exp_avg_sq[world.rank()] = numbers(model.state().of_optimizer("exp_avg_sq").values);
    result.exp_avg_codes[world.rank()] = numbers<uint8_t>(model.state().of_optimizer("exp_avg").codes);
    result.gradient[world.rank()] = numbers(model.state().gradient);
  });
  for (const auto& error : errors)
    if (error) std::rethrow_exception(error);
  for (const auto& [rank, pair] : numbers_of) {
    result.losses.insert(result.losses.end(), pair.first.begin(), pair.first.end());
    result.squared_norms.insert(result.squared_norms.end(), pair.second.begin(), pair.second.end());
  }
  return result;
}

}  // namespace

TEST_CASE("State in host memory, or weights too, gives the bits that it gives on the device", "[optim]") {
  const std::pair<Strategy, int> groups[] = {{Strategy::full_shard, 1},
                                             {Strategy::full_shard, 3},
                                             {Strategy::shard_grad_op, 2},
                                             {Strategy::no_shard, 2},
                                             {Strategy::hybrid_shard, 4}};
  for (const Precision precision : {Precision::bf16, Precision::fp32})
    for (const bool tied : {false, true})
      for (const auto& [strategy, ranks] : groups) {
        const Result kept = train({strategy, Offload::none, precision}, tied, ranks);
        REQUIRE(kept.losses.front() > kept.losses[2]);  // it learns
        for (const Offload offload : {Offload::optimizer, Offload::params}) {
          INFO(static_cast<int>(strategy) << " on " << ranks << " ranks, offload " << static_cast<int>(offload)
                                          << ", tied " << tied << ", bf16 " << (precision == Precision::bf16));
          const Result offloaded = train({strategy, offload, precision}, tied, ranks);
          CHECK(offloaded.losses == kept.losses);
          CHECK(offloaded.squared_norms == kept.squared_norms);
          CHECK((offloaded == kept));
        }
      }
}

TEST_CASE("So does state in 8 bits", "[optim]") {
  for (const auto& [strategy, ranks] : {std::pair{Strategy::full_shard, 1}, {Strategy::full_shard, 3}}) {
    const Result kept = train({strategy, Offload::none, Precision::bf16, OptimizerName::adamw_8bit}, false, ranks);
    REQUIRE(kept.losses.front() > kept.losses[2]);
    const auto& codes = kept.exp_avg_codes.at(0);
    REQUIRE(std::set(codes.begin(), codes.end()).size() > 100);
    const Result offloaded =
        train({strategy, Offload::optimizer, Precision::bf16, OptimizerName::adamw_8bit}, false, ranks);
    CHECK((offloaded == kept));
  }
}
