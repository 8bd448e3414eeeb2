#include "kernels/cpu/cpu_kernels.h"

#include "kernels/cpu/attention.h"
#include "kernels/cpu/gemm.h"

namespace tessera {

CpuKernels::CpuKernels(Device& device)
    : threads_(cpu_threads(device)),
      gemm_(std::make_unique<CpuGemm>(device)),
      attention_(std::make_unique<CpuAttention>(device, *gemm_)) {}

CpuKernels::~CpuKernels() = default;

}  // namespace tessera
