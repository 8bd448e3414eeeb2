#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "cluster/message_communicator.h"
#include "model/families/decoder.h"
#include "shard/sharded_model.h"

namespace tessera::test {

/// Sizes that nothing divides, with everything that a family can have.
inline DecoderSettings odd_settings(bool tied, bool qk_norm = false) {
  DecoderSettings s;
  s.C = 18, s.H = 3, s.G = 1, s.D = 10, s.F = 23, s.V = 37, s.L = 3;
  s.tied = tied;
  s.qkv_bias = s.o_bias = s.mlp_bias = !qk_norm;
  s.qk_norm = qk_norm;
  s.window = {0, 4, 0};
  s.initializer_range = 0.3;
  return s;
}
inline ModelSpec odd_model(bool tied, bool qk_norm = false) { return make_decoder(odd_settings(tied, qk_norm)); }

/// Some of its tensors have 4096 elements and more, and no whole number of blocks.
inline ModelSpec odd_model_with_blocks(bool tied) {
  DecoderSettings s = odd_settings(tied);
  s.V = 251, s.F = 239;
  return make_decoder(s);
}

/// `documents` of random tokens, every third target ignored.
inline Batch random_batch(int64_t V, const std::vector<int>& documents, unsigned seed) {
  std::mt19937 random(seed);
  Batch batch;
  for (const int n : documents) {
    for (int i = 0; i < n; ++i) {
      batch.tokens.push_back(static_cast<int32_t>(random() % static_cast<unsigned>(V)));
      const bool supervised = i + 1 < n && random() % 3 != 0;
      batch.targets.push_back(supervised ? static_cast<int32_t>(random() % static_cast<unsigned>(V)) : ignored_label);
      batch.positions.push_back(i);
      batch.sample_of.push_back(100 + static_cast<int32_t>(batch.samples));
      if (supervised) ++batch.supervised;
    }
    batch.cu_seqlens.push_back(static_cast<int32_t>(batch.tokens.size()));
    ++batch.samples;
  }
  return batch;
}

inline std::vector<Batch> four_batches(int64_t V) {
  return {random_batch(V, {7, 3}, 1), random_batch(V, {11}, 2), random_batch(V, {2, 2, 5}, 3), random_batch(V, {}, 4)};
}

/// What a job with AdamW asks of its model.
inline ShardedModelSettings with_moments(const ShardSettings& shard, const ModelSettings& model, int64_t max_tokens,
                                         int64_t longest = 0) {
  return {shard, model, {{"exp_avg"}, {"exp_avg_sq"}}, max_tokens, longest};
}

/// What one update of four micro-batches costs beside its kernels, after enough of them that nothing is new.
struct UpdateCost {
  int64_t allocations, waits;
};
inline UpdateCost cost_of_a_steady_update(Device& device, Kernels& kernels, Offload offload = Offload::none) {
  const ModelSpec config = odd_model(true);
  ShardSettings shard;
  shard.offload = offload;
  ModelSettings settings;
  settings.precision = Precision::fp32;
  MessageCommunicator world(std::make_unique<LoneTransport>(Peer{}));
  Profiler profiler(device);
  ShardGroups groups(world, shard, 1, device);
  ShardedModel model({device, kernels, profiler, groups}, config, with_moments(shard, settings, 24));
  model.cast_weights();
  const auto update = [&](int64_t step) {
    model.begin_update(step);
    for (Batch& batch : four_batches(config.V)) model.train(std::move(batch), 1, false);
    model.finish_gradients();
    model.synchronize();
  };
  for (int64_t step = 1; step <= 3; ++step) update(step);
  const int64_t allocations = device.allocations(), waits = device.waits();
  update(4);
  return {device.allocations() - allocations, device.waits() - waits};
}

/// Memory that a GPU gave after the model was made, over updates in bf16 of packed rows, no two of which have documents
/// of the same lengths: heads of 64, which cuDNN takes.
inline int64_t allocations_of_packed_updates(Device& device, Kernels& kernels) {
  DecoderSettings settings = odd_settings(true);
  settings.C = 64, settings.H = 4, settings.G = 2, settings.D = 64;
  const ModelSpec config = make_decoder(settings);
  constexpr int max_tokens = 320, longest = 160;
  MessageCommunicator world(std::make_unique<LoneTransport>(Peer{}));
  Profiler profiler(device);
  const ShardSettings shard;
  ShardGroups groups(world, shard, 1, device);
  ShardedModel model({device, kernels, profiler, groups}, config, with_moments(shard, {}, max_tokens, longest));
  model.cast_weights();
  model.synchronize();
  const int64_t before = device.allocations();
  for (unsigned step = 1; step <= 4; ++step) {
    std::mt19937 random(step);
    std::vector<int> documents;
    for (int left = max_tokens - static_cast<int>(step); left > 0; left -= documents.back())
      documents.push_back(std::min(left, 1 + static_cast<int>(random() % (step % 2 == 0 ? longest : 40))));
    model.begin_update(step);
    model.train(random_batch(config.V, documents, step), 1, true);
    model.finish_gradients();
    model.synchronize();
  }
  return device.allocations() - before;
}

}  // namespace tessera::test
