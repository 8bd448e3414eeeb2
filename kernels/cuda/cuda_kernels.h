#pragma once
#include <memory>

#include "device/cuda/cuda_device.h"
#include "kernels/cuda/fused_attention.h"
#include "kernels/cuda/gemm_cublaslt.h"
#include "kernels/cuda/workspace.h"
#include "kernels/kernels.h"

/// The kernels of a GPU: own ones, and matrix products and attention by libraries behind an interface each, so that the
/// rest also runs where there is no GPU (test/cuda_shim).  A subject's class is in the file of its name, beside its
/// kernels and how they are launched.
///
/// A stream of a GPU runs no host code: every pointer is to device memory unless the contract says "host", and what is
/// on the host is copied before a member returns.  What a kernel needs besides is a part of the workspace; nothing is
/// allocated.  The same inputs give the same bits on every GPU: sums are cut by sizes alone, and nothing is added
/// atomically.  ClusterError, naming the kernel, where a launch is refused.
namespace tessera {

class CudaKernels final : public Kernels {
 public:
  /// `workspace`: the libraries' too.  Without `attention`, or where it declines, own kernels do its work.
  CudaKernels(const std::shared_ptr<Workspace>& workspace, std::unique_ptr<CublasLtGemm> products,
              std::unique_ptr<FusedAttention> attention = nullptr);

  void reserve(const LargestShapes& largest) override { workspace_->reserve(workspace_bytes(largest)); }

 private:
  const std::shared_ptr<Workspace> workspace_;
};

namespace cuda {

std::unique_ptr<LinearKernels> make_linear(std::shared_ptr<Workspace> workspace,
                                           std::unique_ptr<CublasLtGemm> products);
std::unique_ptr<EmbeddingKernels> make_embedding(std::shared_ptr<Workspace> workspace);
std::unique_ptr<NormKernels> make_norm(std::shared_ptr<Workspace> workspace);
std::unique_ptr<RotaryKernels> make_rotary();
std::unique_ptr<AttentionKernels> make_attention(std::shared_ptr<Workspace> workspace,
                                                 std::unique_ptr<FusedAttention> fused);
std::unique_ptr<ActivationKernels> make_activation();
std::unique_ptr<ResidualKernels> make_residual();
std::unique_ptr<LossKernels> make_loss(std::shared_ptr<Workspace> workspace);
std::unique_ptr<OptimizerKernels> make_optimizer(std::shared_ptr<Workspace> workspace);
std::unique_ptr<MemoryKernels> make_memory();
std::unique_ptr<QuantizationKernels> make_quantization();
std::unique_ptr<DoraKernels> make_dora();
std::unique_ptr<DropoutKernels> make_dropout();

}  // namespace cuda
}  // namespace tessera
