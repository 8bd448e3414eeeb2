#pragma once
#include <memory>

#include "kernels/kernels.h"

/// The CPU's kernels: matrix products by oneDNN or in tiles of our own (gemm.h), everything else in Highway, dispatched
/// at run time to what the processor has.  A subject's class is in the file of its name, beside its vector code: its
/// members enqueue the work.
namespace tessera {

class CpuGemm;

std::unique_ptr<Kernels> make_cpu_kernels(Device& device);
/// `gemm` multiplies; for tests of one that the processor would not choose.
std::unique_ptr<Kernels> make_cpu_kernels(Device& device, std::shared_ptr<CpuGemm> gemm);

// The subjects.  `threads`: of the device.
std::unique_ptr<LinearKernels> make_cpu_linear(int threads, std::shared_ptr<CpuGemm> gemm);
std::unique_ptr<EmbeddingKernels> make_cpu_embedding(int threads);
std::unique_ptr<NormKernels> make_cpu_norm(int threads);
std::unique_ptr<RotaryKernels> make_cpu_rotary(int threads);
std::unique_ptr<AttentionKernels> make_cpu_attention(Device& device, std::shared_ptr<CpuGemm> gemm);
std::unique_ptr<ActivationKernels> make_cpu_activation(int threads);
std::unique_ptr<ResidualKernels> make_cpu_residual(int threads);
std::unique_ptr<LossKernels> make_cpu_loss(int threads);
std::unique_ptr<OptimizerKernels> make_cpu_optimizer(int threads);
std::unique_ptr<MemoryKernels> make_cpu_memory(int threads);
std::unique_ptr<QuantizationKernels> make_cpu_quantization(int threads);
std::unique_ptr<DoraKernels> make_cpu_dora(int threads);
std::unique_ptr<DropoutKernels> make_cpu_dropout(int threads);

}  // namespace tessera
