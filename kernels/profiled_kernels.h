#pragma once
#include <memory>

#include "device/profiler.h"
#include "kernels/kernels.h"

namespace tessera {

/// The same kernels, with the time of each added to a phase of the profiler: gemm, attention, loss or elementwise.  For
/// streams of one thread each; costs two clock readings a kernel.
std::unique_ptr<Kernels> profile_kernels(std::unique_ptr<Kernels> kernels, Profiler& profiler);

}  // namespace tessera
