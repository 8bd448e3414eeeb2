#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "job/job.h"
#include "shard/sharded_model.h"

namespace tessera {

/// The weights of a Hugging Face directory, held to what its config.json says.
class PretrainedWeights {
 public:
  /// Throws DataError with the name of a tensor that is missing, of another shape, or that the model has no place for.
  PretrainedWeights(const std::filesystem::path& directory, const ModelSpec& spec);

  /// Elements [offset, offset + count) of the flattened tensor.  Throws DataError where a tied model's embedding and
  /// head are stored both and differ there.
  void read(const std::string& name, int64_t offset, int64_t count, float* out) const;

 private:
  std::string where_;
  SafetensorsReader reader_;
  std::string embedding_, head_;
  bool has_two_names_;  // the one matrix of a tied model is stored as embedding and as head
};

/// This rank's parts of all tensors, pointing into its state, as the checkpoint room takes them.
std::vector<TensorSlice> tensor_slices(const ShardedModel& model);

/// Fills the master weights from a Hugging Face directory: this rank reads its own slices only.
void load_pretrained(ShardedModel& model, const std::filesystem::path& directory);

/// Normal with the config's initializer_range; norms 1, biases 0.  The same on any number of ranks and threads.
void initialise_random(ShardedModel& model, int64_t seed, int threads);

/// The weights that training starts with: from base or random, as model.init says.
void load_initial_weights(ShardedModel& model, const Job& job, int threads);

/// Master weights and moments from a checkpoint of any number of ranks.
void load_checkpoint(ShardedModel& model, const CheckpointReader& checkpoint);

}  // namespace tessera
