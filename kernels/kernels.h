#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "device/device.h"
#include "device/profiler.h"
#include "kernels/activation.h"
#include "kernels/attention.h"
#include "kernels/dora.h"
#include "kernels/dropout.h"
#include "kernels/embedding.h"
#include "kernels/linear.h"
#include "kernels/loss.h"
#include "kernels/memory.h"
#include "kernels/norm.h"
#include "kernels/optimizer.h"
#include "kernels/quantization.h"
#include "kernels/residual.h"
#include "kernels/rotary.h"

/// The kernels, by subject: each header beside this one has the contracts of one.  Shape letters, here and everywhere:
///   T tokens   C width   H query heads   G key/value heads   D head width   F feed-forward width   V vocabulary
///   L layers   R ranks   N documents of a batch (cu_seqlens has N+1 entries, the first 0, the last T)
///
/// Every kernel is enqueued on `stream`: pointers stay alive, and outputs are undefined, until the stream passes this
/// point.  "compute type" is fp32 or bf16, the same for all such views of one call; arithmetic is fp32 inside.
/// T may be 0.  Views may be slices (row_stride > cols) unless a line says "contiguous".  All are deterministic: the
/// same inputs give the same bits with the same number of threads.
namespace tessera {

/// The largest sizes of a job, by their letters.
struct LargestShapes {
  int64_t T, C, H, G, D, F;
  int64_t longest;                     ///< tokens of a document
  int64_t shard;                       ///< elements of the flat shard; 0: nothing is trained
  DType dtype;                         ///< the compute type
  std::vector<int64_t> windows = {0};  ///< of the layers, each once
  float softcap = 0;                   ///< of their scores

  bool trains() const { return shard > 0; }
};

/// One device's class of each subject.
struct KernelSet {
  std::unique_ptr<LinearKernels> linear;
  std::unique_ptr<EmbeddingKernels> embedding;
  std::unique_ptr<NormKernels> norm;
  std::unique_ptr<RotaryKernels> rotary;
  std::unique_ptr<AttentionKernels> attention;
  std::unique_ptr<ActivationKernels> activation;
  std::unique_ptr<ResidualKernels> residual;
  std::unique_ptr<LossKernels> loss;
  std::unique_ptr<OptimizerKernels> optimizer;
  std::unique_ptr<MemoryKernels> memory;
  std::unique_ptr<QuantizationKernels> quantization;
  std::unique_ptr<DoraKernels> dora;
  std::unique_ptr<DropoutKernels> dropout;

  std::array<KernelSubject*, 13> all() const;
};

/// The kernels of a device: kernels.norm.rmsnorm_forward(stream, …).
class Kernels {
 public:
  explicit Kernels(KernelSet set);
  virtual ~Kernels() = default;
  Kernels(const Kernels&) = delete;
  Kernels& operator=(const Kernels&) = delete;

  /// Makes room for what kernels need beside their arguments, so that none is allocated in a step: workspace_bytes() of
  /// Memory::device.  A CPU's kernels take what they need in the first steps: 0.
  virtual void reserve(const LargestShapes& /*largest*/) {}
  /// What the neediest subject needs: they share it.
  int64_t workspace_bytes(const LargestShapes& largest) const;

  /// Adds the time of each kernel to a phase of the profiler from here on: gemm, attention, loss or elementwise.  For
  /// streams of one thread each; costs two clock readings a kernel.
  void profile(Profiler& profiler);

 private:
  const KernelSet set_;

 public:
  LinearKernels& linear;
  EmbeddingKernels& embedding;
  NormKernels& norm;
  RotaryKernels& rotary;
  AttentionKernels& attention;
  ActivationKernels& activation;
  ResidualKernels& residual;
  LossKernels& loss;
  OptimizerKernels& optimizer;
  MemoryKernels& memory;
  QuantizationKernels& quantization;
  DoraKernels& dora;
  DropoutKernels& dropout;
};

struct KernelSettings {
  bool deterministic = true;  ///< false: a GPU's libraries may add in an order that depends on timing
};

/// The kernels for a device.  Lives as long as its streams have work.
std::unique_ptr<Kernels> make_kernels(Device& device, const KernelSettings& settings = {});

}  // namespace tessera
