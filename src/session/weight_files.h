#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "checkpoint/safetensors.h"
#include "model/units.h"
#include "session/nf4_tensor.h"

namespace tessera {

/// The weights of a Hugging Face directory, checked against its config.json.
class PretrainedWeights {
 public:
  /// `spec` outlives it.  Throws DataError with the name of a tensor that is missing, has another shape, or is not part
  /// of the model.
  PretrainedWeights(const std::filesystem::path& directory, const ModelSpec& spec);

  /// Elements [offset, offset + count) of the flattened tensor, dequantised.  Throws DataError if a tied model's
  /// embedding and head are both stored and differ there.
  void read(const std::string& name, int64_t offset, int64_t count, float* out) const;

  /// The tensor as the files keep it, where that is in NF4; else null.
  const Nf4Tensor* nf4(const std::string& name) const;

 private:
  std::string where_;
  SafetensorsReader reader_;
  const ModelSpec& spec_;
  std::map<std::string, Nf4Tensor> quantized_;  // by the names in the files
  std::string embedding_, head_;
  bool has_two_names_;  // the one matrix of a tied model is stored as embedding and as head
};

/// The weights of a PEFT directory: adapters, and modules that were trained whole.
class AdapterWeights {
 public:
  /// Throws DataError with the name of a tensor that is missing, has another shape, or no place in the model.
  AdapterWeights(const std::filesystem::path& directory, const ModelSpec& spec);

  void read(const std::string& tensor, int64_t offset, int64_t count, float* out) const;

 private:
  static constexpr const char* prefix = "base_model.model.";
  std::string name_of(const std::string& tensor) const;

  SafetensorsReader reader_;
  bool tied_;
  std::string embedding_, head_;
};

}  // namespace tessera
