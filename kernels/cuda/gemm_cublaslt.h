#pragma once
#include <cublasLt.h>

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "device/cuda/cuda_device.h"
#include "kernels/cuda/gemm_description.h"
#include "kernels/cuda/workspace.h"

namespace tessera {

/// Products by cuBLASLt, each by the fastest of those algorithms that its heuristics name and that give the same bits.
/// For one compute stream.  Each shape is asked of the heuristics once and remembered.
///
/// Nothing that is measured may change a result: a job that is interrupted would go on with other bits.  So trials only
/// choose among algorithms that sum in the order of the first one, and whose results agree with its bit by bit on the
/// data at hand.  They wait for the stream, and are for the first shapes of a process only, products of about as many
/// tokens being one.
class CublasLtGemm {
 public:
  CublasLtGemm(CudaDevice& device, std::shared_ptr<Workspace> workspace);
  ~CublasLtGemm();

  /// What the function that made the description calls A, B and C; a bias of `m` elements, and what else is added, null
  /// unless the description has them.
  struct Operands {
    const void *a, *b, *bias, *added;
    void* c;
  };
  /// Enqueued on `stream`; nothing where description.empty().
  void run(Stream& stream, const GemmDescription& description, const Operands& operands);

  /// Of the workspace (workspace.h), what a product may use.
  int64_t workspace_bytes() const;

 private:
  /// How far the addresses are aligned, in bytes, at most 256: algorithms are asked for by it.
  struct Alignment {
    uint32_t a, b, bias, added, c;
    auto operator<=>(const Alignment&) const = default;
  };
  struct Shape {
    GemmDescription description;
    Alignment alignment;
    auto operator<=>(const Shape&) const = default;
  };
  class Plan;

  Plan& plan(const Shape& shape, const void* bias);
  std::vector<cublasLtMatmulHeuristicResult_t> candidates(const Shape& shape, const Plan& plan) const;
  static Shape rounded(Shape shape);
  bool take_choice(const Shape& shape, Plan& plan);
  cublasStatus_t start(Stream& stream, const Plan& plan, const cublasLtMatmulAlgo_t& algorithm,
                       const Operands& operands);
  void multiply(Stream& stream, const GemmDescription& description, const Plan& plan,
                const cublasLtMatmulAlgo_t& algorithm, const Operands& operands);
  void try_candidates(Stream& stream, const Shape& shape, Plan& plan, Operands on);
  double seconds(Stream& stream, const GemmDescription& description, const Plan& plan,
                 const cublasLtMatmulAlgo_t& algorithm, const Operands& operands);

  CudaDevice& device_;
  int trials_left_;
  cublasLtHandle_t handle_ = nullptr;
  std::shared_ptr<Workspace> workspace_;
  std::map<Shape, std::unique_ptr<Plan>> plans_;
  std::map<Shape, cublasLtMatmulAlgo_t> choices_;  ///< what trials found, by rounded() shape
};

}  // namespace tessera
