#pragma once
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <mutex>

#include "support/local_communicator.h"
#include "support/small_model.h"

/// Updates of small models on ranks that are threads.
namespace tessera::test {

using Tensors = std::map<std::string, std::vector<float>>;

inline void add_pieces(const ShardedModel& model, const float* flat, Tensors& whole) {
  for (const ShardPiece& piece : model.layout().pieces()) {
    auto& tensor = whole[piece.tensor->name];
    tensor.resize(static_cast<size_t>(piece.tensor->size()));
    std::copy_n(flat + piece.shard_offset, piece.count, tensor.begin() + piece.tensor_offset);
  }
}

/// The same weights on any number of ranks: a function of name and place.
inline void fill_weights(ShardedModel& model) {
  for (const ShardPiece& piece : model.layout().pieces())
    for (int64_t i = 0; i < piece.count; ++i) {
      const auto at =
          static_cast<double>(piece.tensor_offset + i) + 31.0 * static_cast<double>(piece.tensor->name.size());
      const auto noise = static_cast<float>(0.4 * std::sin(1.7 * at) * std::cos(0.31 * at));
      model.state().master.as<float>()[piece.shard_offset + i] =
          piece.tensor->init == TensorSpec::Init::ones ? 1.0f + noise : noise;
    }
  model.cast_weights();
}

struct Setting {
  ShardSettings shard;
  ModelSettings model;
  int64_t least_bucket = 0;
};

inline ShardedModelSettings settings_of(const Setting& setting) {
  ShardedModelSettings settings = with_moments(setting.shard, setting.model, 24);
  settings.least_bucket = setting.least_bucket;
  return settings;
}

inline Setting fp32() {
  Setting setting;
  setting.model.precision = Precision::fp32;
  return setting;
}

struct Result {
  double loss_sum = 0;
  Tensors gradient;
  std::vector<int64_t> allocated;  // bytes of each rank's model, before kernels took scratch memory
  int64_t bytes_sent = 0;          // of weights and gradients, by all ranks
};

/// One update of the four batches, dealt out over `ranks` threads.
inline Result train(const ModelSpec& config, const Setting& setting, int ranks) {
  Result result;
  std::mutex mutex;
  const auto bytes_sent = std::make_shared<std::atomic<int64_t>>(0);
  const auto errors = try_on_ranks(
      ranks,
      [&](Communicator& world) {
        const auto device = make_cpu_device(1);
        const auto kernels = make_kernels(*device);
        Profiler profiler(*device);
        ShardGroups groups(world, setting.shard, world.size(), *device);
        ShardedModel model({*device, *kernels, profiler, groups}, config, settings_of(setting));
        const int64_t allocated = device->bytes_in_use();
        fill_weights(model);
        auto batches = four_batches(config.V);
        model.begin_update(1);
        const auto count = static_cast<int>(batches.size());
        for (int first = 0; first < count; first += ranks) {
          const int mine = first + world.rank();
          model.train(mine < count ? batches[static_cast<size_t>(mine)] : Batch{}, 0.25f, first + ranks >= count);
        }
        model.finish_gradients();
        model.synchronize();
        const std::lock_guard lock(mutex);
        result.loss_sum += model.loss_sum();
        result.allocated.push_back(allocated);
        add_pieces(model, model.state().gradient.as<float>(), result.gradient);
      },
      bytes_sent);
  result.bytes_sent = *bytes_sent;
  for (const auto& error : errors)
    if (error) std::rethrow_exception(error);
  return result;
}

/// The largest difference over the largest value.
inline double distance(const Tensors& a, const Tensors& b) {
  double difference = 0, largest = 0;
  REQUIRE(a.size() == b.size());
  for (const auto& [name, values] : a)
    for (size_t i = 0; i < values.size(); ++i) {
      difference = std::max(difference, std::abs(static_cast<double>(values[i]) - b.at(name)[i]));
      largest = std::max(largest, std::abs(static_cast<double>(values[i])));
    }
  return difference / largest;
}

/// The loss alone, with one weight moved.
inline double loss_with(const ModelSpec& config, const std::string& name, size_t index, float shift) {
  double loss = 0;
  const auto errors = try_on_ranks(1, [&](Communicator& world) {
    const auto device = make_cpu_device(1);
    const auto kernels = make_kernels(*device);
    Profiler profiler(*device);
    const Setting setting = fp32();
    ShardGroups groups(world, setting.shard, 1, *device);
    ShardedModel model({*device, *kernels, profiler, groups}, config, with_moments(setting.shard, setting.model, 24));
    fill_weights(model);
    for (const ShardPiece& piece : model.layout().pieces())
      if (piece.tensor->name == name)
        model.state().master.as<float>()[piece.shard_offset + static_cast<int64_t>(index)] += shift;
    model.cast_weights();
    for (Batch& batch : four_batches(config.V)) model.evaluate(std::move(batch));
    model.synchronize();
    loss = model.loss_sum();
  });
  if (errors.front()) std::rethrow_exception(errors.front());
  return loss;
}

/// The gradient of every tensor's middle element is the slope of the loss.
inline void require_slopes(const ModelSpec& config) {
  const Result result = train(config, fp32(), 1);
  for (const auto& [name, gradient] : result.gradient) {
    const size_t i = gradient.size() / 2;
    const float h = 1e-2f;
    const double slope = (loss_with(config, name, i, h) - loss_with(config, name, i, -h)) / (2.0 * h);
    INFO(name << "[" << i << "]");
    CHECK(gradient[i] == Approx(0.25 * slope).epsilon(0.02).margin(2e-3));
  }
}

}  // namespace tessera::test
