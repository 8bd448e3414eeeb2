#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "checkpoint/slice.h"

/// Names and offsets inside a shard file (docs/checkpoints.md).
namespace tessera {

struct Moment {
  const char* dataset;
  float* TensorSlice::*data;
};

/// The data sets of a tensor's group, in file order.
inline constexpr std::array<Moment, 3> moments{
    {{"master", &TensorSlice::master}, {"exp_avg", &TensorSlice::exp_avg}, {"exp_avg_sq", &TensorSlice::exp_avg_sq}}};

inline constexpr int64_t float_bytes = sizeof(float);

inline std::string tensor_group(const std::string& name) { return "/tensors/" + name; }

}  // namespace tessera
