#include "shard/memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/amount.h"
#include "device/dtype.h"
#include "model/head.h"
#include "shard/device_batch.h"
#include "shard/host_update.h"
#include "shard/layout.h"
#include "shard/prefetch.h"

namespace tessera {
namespace {

struct Sizes {
  Amount T, C, Q, KV, F, D, H, G, L;  // Q = H·D, KV = G·D
};

/// Elements of the compute type that a token has in one layer: one layer's under `full`, else every layer's; and the
/// norms' outputs, every layer's under `none` alone.
struct PerToken {
  Amount kept, norms;
};

PerToken layer_elements(const Sizes& s, bool qk_norm) {
  const Amount normed_qk = qk_norm ? s.Q + s.KV : 0;
  return {.kept = s.Q + 2 * s.KV + normed_qk + s.C + 2 * s.F, .norms = 2 * s.C};
}

/// What a GPU's attention may read behind q, k, v, its output, their gradient and log_sum_exp.
Amount spare_row_bytes(const ModelConfig& c, const Sizes& s, const Amount& kept, int64_t b) {
  const Amount inputs = s.Q + 2 * s.KV + (c.qk_norm ? s.Q + s.KV : 0);
  return b * (kept * inputs + s.L * s.Q + s.Q) + 4 * s.L * s.H;
}

Amount activation_bytes(DeviceKind device, const ModelConfig& c, const Sizes& s, Checkpointing checkpointing,
                        int64_t b) {
  const Amount kept = checkpointing == Checkpointing::full ? 1 : s.L;
  const Amount norms = checkpointing == Checkpointing::none ? s.L : 1;
  const PerToken layer = layer_elements(s, c.qk_norm);
  const Amount always = (s.L + 1) * s.C + s.L * s.Q;           // the residual stream, attention's output
  const Amount shared = 2 * s.C + s.F + s.Q + s.Q + 2 * s.KV;  // gradients; SwiGLU's product
  const Amount inv_rms = kept * (2 + (c.qk_norm ? s.H + s.G : 0)), log_sum_exp = s.L * s.H, cos_sin = s.D;
  return s.T *
             (b * (always + kept * layer.kept + norms * layer.norms + shared) + 4 * (inv_rms + log_sum_exp + cos_sin)) +
         attention_spare_rows(device) * spare_row_bytes(c, s, kept, b);
}

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

MemoryPlan plan_memory(DeviceKind device, const ModelConfig& c, const ShardSettings& shard, const ModelSettings& model,
                       int ranks, int64_t max_tokens) {
  const ShardLayout layout(c, 0, ranks);
  const auto& units = layout.units();
  const int64_t b = model.precision == Precision::bf16 ? 2 : 4;
  const int64_t embedding = units.front().padded, head = units.back().padded, layer = units[1].padded;
  const Sizes s{max_tokens, c.C, c.H * c.D, c.G * c.D, c.F, c.D, c.H, c.G, c.L};

  MemoryPlan plan;
  const ShardBytes shards = shard_bytes(shard.offload, b);
  plan.shards = layout.size() * shards.device;
  plan.host = layout.size() * shards.host;
  if (shard.offload == Offload::optimizer && b == 2) plan.host += 2 * b * host_update_piece;
  if (ranks > 1 || shard.offload == Offload::params) {
    const GatherSlots slots = gather_slots(shard, c.L);
    const int64_t ends = c.tied || slots.separate ? embedding + head : std::max(embedding, head);
    plan.gathered = b * (std::min(slots.layers, c.L) * layer + ends);
  }
  if (ranks > 1 || shard.offload != Offload::none) {
    const int64_t ends = c.tied ? embedding + head : std::max(embedding, head);
    plan.unit_gradients = 4 * (std::min<int64_t>(2, c.L) * layer + ends);
    if (ranks > 1 && shard.offload != Offload::none) plan.unit_gradients += plan.unit_gradients / ranks;
  }
  plan.activations = activation_bytes(device, c, s, model.gradient_checkpointing, b).value();
  const int64_t chunk = loss_chunk(device, c.V, max_tokens);
  plan.head = (s.T * (3 * b * s.C + 4) + Amount(chunk) * logit_columns(c.V) * 4).value();
  return plan;
}

LargestShapes largest_shapes(const ModelConfig& c, const ModelSettings& model, int ranks, int64_t max_tokens,
                             int64_t longest) {
  return {.T = max_tokens,
          .C = c.C,
          .H = c.H,
          .G = c.G,
          .D = c.D,
          .F = c.F,
          .longest = std::min(longest, max_tokens),
          .shard = ShardLayout(c, 0, ranks).size(),
          .dtype = compute_dtype(model),
          .windows = distinct_windows(c)};
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
