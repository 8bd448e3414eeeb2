#pragma once
#include <string>

#include "base/hdf5.h"
#include "checkpoint/slice.h"

/// Names and types inside a shard file (docs/checkpoints.md).
namespace tessera {

inline std::string tensor_group(const std::string& name) { return "/tensors/" + name; }

/// How numbers of a type are stored: HDF5 has no bf16, whose bits are.
inline hdf5::Type stored_type(DType type) { return type == DType::bf16 ? hdf5::Type::uint16 : hdf5::Type::float32; }

}  // namespace tessera
