#pragma once
#include <optional>
#include <vector>

#include "job/job.h"
#include "model/units.h"
#include "session/weight_files.h"

namespace tessera {

/// The weights that a job begins with: of model.base or random (model.init), of adapter.base_adapter, and of a new
/// adapter.  What is random is the same on any number of ranks and threads: normal with the config's initializer_range,
/// norms 1, biases and lora_B 0, lora_A as adapter.init_lora_weights says.
class InitialWeights {
 public:
  /// `spec` outlives it.
  InitialWeights(const Job& job, const ModelSpec& spec, int threads);

  /// Elements [offset, offset + count) of the flattened tensor.
  void read(const TensorSpec& tensor, int64_t offset, int64_t count, float* out) const;
  /// The matrix as model.base keeps it, where that is in NF4; else null.
  const Nf4Tensor* nf4(const TensorSpec& tensor) const;

 private:
  void make(const TensorSpec& tensor, int64_t offset, int64_t count, float* out) const;
  void make_row_norms(const TensorSpec& tensor, int64_t offset, int64_t count, float* out) const;

  std::vector<UnitSpec> units_;
  std::optional<PretrainedWeights> base_;
  std::optional<AdapterWeights> adapter_;
  int64_t seed_;
  float deviation_;
  int threads_;
};

}  // namespace tessera
