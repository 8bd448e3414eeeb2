#pragma once
#include <cstdint>

#include "device/dtype.h"

namespace tessera {

/// to[i] = from[i] for n elements of the compute types, rounded to nearest even where `to` is the narrower.  At once,
/// on the calling thread: a part of other kernels.
void convert(const void* from, DType from_type, void* to, DType to_type, int64_t n);

/// to[i] += from[i] in fp32, rounded once where `to` is bf16.
void convert_add(const void* from, DType from_type, void* to, DType to_type, int64_t n);

}  // namespace tessera
