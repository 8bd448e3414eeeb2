#pragma once
#include <functional>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "session/nf4_tensor.h"
#include "shard/sharded_model.h"

namespace tessera {

/// This rank's parts of all that is trained, pointing into its state, as the checkpoint room takes them.
std::vector<TensorSlice> tensor_slices(const ShardedModel& model);

/// Reads elements [offset, offset + count) of a flattened tensor, wherever they come from.
using ReadElements = std::function<void(const TensorSpec& tensor, int64_t offset, int64_t count, float* out)>;

/// Where a model's weights come from.
struct WeightSource {
  ReadElements elements;
  /// The matrix as its file keeps it, where that is in NF4 already; else null.  Empty: none is.
  std::function<const Nf4Tensor*(const TensorSpec& tensor)> nf4 = {};
};

/// Fills master weights and frozen weights: this rank reads its own slices only, in pieces of some MiB.  Collective
/// where frozen weights are quantised.
void load_weights(ShardedModel& model, const WeightSource& source);

/// The magnitudes with which DoRA begins on quantised weights: the norms of their rows as products have them, in the
/// compute type.  After load_weights().  Collective.
void load_row_norms(ShardedModel& model);

/// Master weights and what the optimizer keeps, from a checkpoint of any number of ranks; frozen weights from `base`.
void load_checkpoint(ShardedModel& model, const WeightSource& base, const CheckpointReader& checkpoint);

}  // namespace tessera
