#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "job/job.h"
#include "shard/sharded_model.h"

namespace tessera {

/// The weights of a Hugging Face directory, checked against its config.json.
class PretrainedWeights {
 public:
  /// `spec` outlives it.  Throws DataError with the name of a tensor that is missing, has another shape, or is not part
  /// of the model.
  PretrainedWeights(const std::filesystem::path& directory, const ModelSpec& spec);

  /// Elements [offset, offset + count) of the flattened tensor.  Throws DataError if a tied model's embedding and head
  /// are both stored and differ there.
  void read(const std::string& name, int64_t offset, int64_t count, float* out) const;

 private:
  std::string where_;
  SafetensorsReader reader_;
  const ModelSpec& spec_;
  std::string embedding_, head_;
  bool has_two_names_;  // the one matrix of a tied model is stored as embedding and as head
};

/// This rank's parts of all tensors, pointing into its state, as the checkpoint room takes them.
std::vector<TensorSlice> tensor_slices(const ShardedModel& model);

/// Fills the master weights from a Hugging Face directory: this rank reads its own slices only.
void load_pretrained(ShardedModel& model, const std::filesystem::path& directory);

/// Normal with the config's initializer_range; norms 1, biases 0.  The same on any number of ranks and threads.
void initialise_random(ShardedModel& model, int64_t seed, int threads);

/// The initial weights: from base or random (model.init).
void load_initial_weights(ShardedModel& model, const Job& job, int threads);

/// Master weights and what the optimizer keeps, from a checkpoint of any number of ranks.
void load_checkpoint(ShardedModel& model, const CheckpointReader& checkpoint);

}  // namespace tessera
