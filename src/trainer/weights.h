#pragma once
#include <filesystem>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "shard/sharded_model.h"

namespace tessera {

/// This rank's parts of all tensors, pointing into its state, as the checkpoint room takes them.
std::vector<TensorSlice> tensor_slices(const ShardedModel& model);

/// Fills the master weights from a Hugging Face directory: this rank reads its own slices only.  A tensor that is
/// missing, of another shape, or that the model has no place for is a DataError that names it.
void load_pretrained(ShardedModel& model, const std::filesystem::path& directory);

/// Normal with the config's initializer_range; norms 1, biases 0.  The same on any number of ranks and threads.
void initialise_random(ShardedModel& model, int64_t seed, int threads);

/// Master weights and moments from a checkpoint of any number of ranks.
void load_checkpoint(ShardedModel& model, const CheckpointReader& checkpoint);

}  // namespace tessera
