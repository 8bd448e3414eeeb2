#include "device/cuda/cuda_device.h"
#include "kernels/cuda/attention_cudnn.h"
#include "kernels/cuda/attention_verdicts.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/fused_attention.h"
#include "kernels/cuda/gemm_cublaslt.h"

// The kernels room's entry points of libtessera_cuda.so (device/gpu_library.h).
extern "C" void tessera_gpu_check_kernels() { tessera::check_cudnn_version(); }

extern "C" tessera::Kernels* tessera_gpu_make_kernels(tessera::Device& device,
                                                      const tessera::KernelSettings& settings) {
  using namespace tessera;
  auto& gpu = dynamic_cast<CudaDevice&>(device);
  const auto workspace = std::make_shared<Workspace>(gpu);
  return new CudaKernels(
      workspace, std::make_unique<CublasLtGemm>(gpu, workspace),
      std::make_unique<FusedAttention>(
          workspace, std::make_unique<CudnnGraphs>(),
          FusedAttentionSettings{.deterministic = settings.deterministic, .verdicts = verdict_folder()}));
}

/// Every way in which cuDNN's answers differ from those of our own kernels, on the batches that check all that is known
/// to have been wrong, in forms of small and large models.
extern "C" void tessera_gpu_check_attention(tessera::Device& device, std::vector<std::string>& differences) {
  using namespace tessera;
  constexpr int64_t longest = 8192, tokens = 8192;
  for (const bool deterministic : {true, false})
    for (const AttentionForm& form :
         {AttentionForm{32, 8, 128, 0}, AttentionForm{32, 8, 128, 1000}, AttentionForm{9, 3, 64, 0},
          AttentionForm{14, 2, 64, 0}, AttentionForm{16, 16, 64, 100}, AttentionForm{8, 4, 256, 0}}) {
      FusedAttention attention(std::make_shared<Workspace>(device), std::make_unique<CudnnGraphs>(),
                               {.deterministic = deterministic, .trusts_library = true});
      const auto found = attention.differences(form, all_attention_batches(form, longest, tokens));
      differences.insert(differences.end(), found.begin(), found.end());
    }
}
