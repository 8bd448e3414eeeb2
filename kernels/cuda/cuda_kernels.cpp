#include "kernels/cuda/cuda_kernels.h"

#include <utility>

namespace tessera {

CudaKernels::CudaKernels(const std::shared_ptr<Workspace>& workspace, std::unique_ptr<CublasLtGemm> products,
                         std::unique_ptr<FusedAttention> attention)
    : Kernels({.linear = cuda::make_linear(workspace, std::move(products)),
               .embedding = cuda::make_embedding(workspace),
               .norm = cuda::make_norm(workspace),
               .rotary = cuda::make_rotary(),
               .attention = cuda::make_attention(workspace, std::move(attention)),
               .activation = cuda::make_activation(),
               .residual = cuda::make_residual(),
               .loss = cuda::make_loss(workspace),
               .optimizer = cuda::make_optimizer(workspace),
               .memory = cuda::make_memory(),
               .quantization = cuda::make_quantization(),
               .dora = cuda::make_dora(),
               .dropout = cuda::make_dropout()}),
      workspace_(workspace) {}

}  // namespace tessera
