#pragma once
#include <stdexcept>
#include <string>

#include "base/hdf5.h"
#include "checkpoint/slice.h"

/// Names and types inside a shard file (docs/checkpoints.md).
namespace tessera {

inline std::string tensor_group(const std::string& name) { return "/tensors/" + name; }

/// How numbers of a type are stored: HDF5 has no bf16, whose bits are.
inline hdf5::Type stored_type(DType type) {
  switch (type) {
    case DType::f32:
      return hdf5::Type::float32;
    case DType::bf16:
      return hdf5::Type::uint16;
    case DType::i32:
      return hdf5::Type::int32;
    case DType::u8:
      return hdf5::Type::uint8;
  }
  throw std::logic_error("a checkpoint does not store this type");
}

}  // namespace tessera
