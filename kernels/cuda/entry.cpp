#include "device/cuda/cuda_device.h"
#include "kernels/cuda/attention_cudnn.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/fused_attention.h"
#include "kernels/cuda/gemm_cublaslt.h"

// The kernels room's entry points of libtessera_cuda.so (device/gpu_library.h).
extern "C" void tessera_gpu_check_kernels() { tessera::check_cudnn_version(); }

extern "C" tessera::Kernels* tessera_gpu_make_kernels(tessera::Device& device) {
  using namespace tessera;
  auto& gpu = dynamic_cast<CudaDevice&>(device);
  const auto workspace = std::make_shared<Workspace>(gpu);
  return new CudaKernels(workspace, std::make_unique<CublasLtGemm>(gpu, workspace),
                         std::make_unique<FusedAttention>(workspace, std::make_unique<CudnnGraphs>()));
}
