#include "device/cuda/cuda_device.h"
#include "kernels/cuda/attention_cudnn.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/gemm_cublaslt.h"

// The kernels room's entry point of libtessera_cuda.so (device/gpu_library.h).
extern "C" tessera::Kernels* tessera_gpu_make_kernels(tessera::Device& device) {
  using namespace tessera;
  auto& gpu = dynamic_cast<CudaDevice&>(device);
  // The same job gives the same bits again: what is faster without that is not asked for.
  return new CudaKernels(gpu, std::make_unique<CublasLtGemm>(gpu),
                         std::make_unique<CudnnAttention>(gpu, CudnnAttentionSettings{.deterministic = true}));
}
