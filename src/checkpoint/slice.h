#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace tessera {

/// The part of one tensor that this rank holds: elements [offset, offset + count) of the row-major flattened tensor, in
/// memory that the caller owns: the host's, but for CheckpointWriter::begin.
struct TensorSlice {
  std::string name;  ///< Hugging Face tensor name
  std::vector<int64_t> global_shape;
  int64_t offset = 0;
  int64_t count = 0;
  float* master = nullptr;
  float* exp_avg = nullptr;
  float* exp_avg_sq = nullptr;
};

}  // namespace tessera
