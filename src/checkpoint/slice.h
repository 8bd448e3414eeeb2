#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/number.h"
#include "device/dtype.h"

namespace tessera {

/// The data set of the weights, which every tensor has.
inline constexpr const char* master_dataset = "master";

/// A number per element of a slice, or per block of elements: the weights, or what the optimizer keeps of them.
struct SliceValues {
  std::string name;  ///< its data set in a shard: master_dataset, "exp_avg"
  DType type = DType::f32;
  void* data = nullptr;
  int64_t block_size = 0;  ///< elements of a state's block; 0: it has none.  Slices begin and end at blocks
  bool per_block = false;  ///< a number per block, not per element

  /// Of so many elements from a block's beginning.
  int64_t numbers(int64_t elements) const { return per_block ? ceil_div(elements, block_size) : elements; }
  int64_t bytes(int64_t elements) const { return numbers(elements) * size_of(type); }
};

/// The part of one tensor that this rank holds: elements [offset, offset + count) of the row-major flattened tensor, in
/// memory that the caller owns: the host's, but for CheckpointWriter::begin.
struct TensorSlice {
  std::string name;  ///< Hugging Face tensor name
  std::vector<int64_t> global_shape;
  int64_t offset = 0;
  int64_t count = 0;
  std::vector<SliceValues> values;  ///< in the order in which a shard holds them
};

}  // namespace tessera
