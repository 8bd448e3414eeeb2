#include "kernels/cpu/cpu_kernels.h"

#include "kernels/cpu/attention.h"
#include "kernels/cpu/gemm.h"

namespace tessera {

CpuKernels::CpuKernels(Device& device) : CpuKernels(device, std::make_unique<CpuGemm>(device)) {}

CpuKernels::CpuKernels(Device& device, std::unique_ptr<CpuGemm> gemm)
    : threads_(cpu_threads(device)),
      gemm_(std::move(gemm)),
      attention_(std::make_unique<CpuAttention>(device, *gemm_)) {}

CpuKernels::~CpuKernels() = default;

}  // namespace tessera
