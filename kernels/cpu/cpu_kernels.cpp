#include "kernels/cpu/cpu_kernels.h"

#include <utility>

#include "kernels/cpu/gemm.h"

namespace tessera {

std::unique_ptr<Kernels> make_cpu_kernels(Device& device) {
  return make_cpu_kernels(device, std::make_shared<CpuGemm>(device));
}

std::unique_ptr<Kernels> make_cpu_kernels(Device& device, std::shared_ptr<CpuGemm> gemm) {
  const int threads = cpu_threads(device);
  return std::make_unique<Kernels>(KernelSet{.linear = make_cpu_linear(threads, gemm),
                                             .embedding = make_cpu_embedding(threads),
                                             .norm = make_cpu_norm(threads),
                                             .rotary = make_cpu_rotary(threads),
                                             .attention = make_cpu_attention(device, std::move(gemm)),
                                             .activation = make_cpu_activation(threads),
                                             .residual = make_cpu_residual(threads),
                                             .loss = make_cpu_loss(threads),
                                             .optimizer = make_cpu_optimizer(threads),
                                             .memory = make_cpu_memory(threads),
                                             .quantization = make_cpu_quantization(threads),
                                             .dora = make_cpu_dora(threads),
                                             .dropout = make_cpu_dropout(threads)});
}

}  // namespace tessera
