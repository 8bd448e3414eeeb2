#include <algorithm>
#include <utility>

#include "device/cuda/cuda_device.h"
#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/gemm_description.h"
#include "kernels/cuda/memory.h"

namespace tessera {
namespace {

class CudaLinearKernels final : public LinearKernels {
 public:
  CudaLinearKernels(std::shared_ptr<Workspace> workspace, std::unique_ptr<CublasLtGemm> products)
      : workspace_(std::move(workspace)), products_(std::move(products)) {}

  int64_t workspace_bytes(const LargestShapes& s) override {
    const int64_t widest = std::max({s.C, 2 * s.F, (s.H + 2 * s.G) * s.D});
    return std::max(products_->workspace_bytes(), cuda::bias_backward_scratch_bytes(s.T, widest));
  }

 private:
  void enqueue_linear_forward(Stream& stream, ConstView x, ConstView w, ConstView bias, ConstView added,
                              View y) override {
    products_->run(stream, describe_linear_forward(x, w, bias, added, y),
                   {w.data, x.data, bias.data, added.data, y.data});
  }
  void enqueue_linear_backward_input(Stream& stream, ConstView dy, ConstView w, View dx, Write mode) override {
    products_->run(stream, describe_linear_backward_input(dy, w, dx, mode),
                   {w.data, dy.data, nullptr, addend(dx, mode).data, dx.data});
  }
  void enqueue_linear_backward_weight(Stream& stream, ConstView dy, ConstView x, View dw, Write mode) override {
    const GemmDescription product = describe_linear_backward_weight(dy, x, dw, mode);
    if (product.k == 0 && mode == Write::overwrite) cuda::fill_zero(cuda_stream(stream), dw);  // a sum of nothing
    products_->run(stream, product, {x.data, dy.data, nullptr, addend(dw, mode).data, dw.data});
  }
  void enqueue_bias_backward(Stream& stream, ConstView dy, View db) override {
    cuda::bias_backward(cuda_stream(stream), dy, db,
                        workspace_->room(stream, cuda::bias_backward_scratch_bytes(dy.rows, dy.cols)));
  }

  const std::shared_ptr<Workspace> workspace_;
  const std::unique_ptr<CublasLtGemm> products_;
};

}  // namespace

std::unique_ptr<LinearKernels> cuda::make_linear(std::shared_ptr<Workspace> workspace,
                                                 std::unique_ptr<CublasLtGemm> products) {
  return std::make_unique<CudaLinearKernels>(std::move(workspace), std::move(products));
}

}  // namespace tessera
