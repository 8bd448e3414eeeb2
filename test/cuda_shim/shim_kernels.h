#pragma once
#include <memory>

#include "kernels/kernels.h"

namespace tessera::test {

/// A CPU device whose memory lies between guard zones.
std::unique_ptr<Device> make_shim_device();

/// The kernels of kernels/cuda on the CPU, in the order of the stream: what a CudaKernels does with launchers.h, with
/// scratch and lists of documents in guarded memory.  Matrix products are the CPU's.
std::unique_ptr<Kernels> make_shim_kernels();

}  // namespace tessera::test
