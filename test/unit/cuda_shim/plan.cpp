#include <catch2/catch.hpp>

#include "cuda_shim/matrix_products.h"
#include "device/cuda/cuda_device.h"
#include "kernels/cuda/cuda_kernels.h"
#include "shard/memory.h"
#include "support/small_model.h"

namespace tessera::test {
namespace {

/// Products and attention that announce what they will take of the workspace.
class GreedyProducts final : public MatrixProducts {
 public:
  int64_t workspace_bytes() const override { return 1000; }
  void run(Stream& stream, const GemmDescription& d, const Operands& operands) override {
    plain_.run(stream, d, operands);
  }

 private:
  PlainProducts plain_;
};

class GreedyAttention final : public AttentionLibrary {
 public:
  explicit GreedyAttention(LargestShapes& announced) : announced_(announced) {}
  int64_t announce(const LargestShapes& largest) override {
    announced_ = largest;
    return 70000;
  }
  bool forward(Stream&, const Kernels::AttentionShape&, ConstView, ConstView, ConstView, View, float*) override {
    return false;
  }
  bool backward(Stream&, const Kernels::AttentionShape&, ConstView, ConstView, ConstView, ConstView, const float*,
                ConstView, View, View, View) override {
    return false;
  }

 private:
  LargestShapes& announced_;
};

/// A model on a GPU whose kernels are `kernels`, and what was planned for it.
struct Planned {
  MemoryPlan plan;
  int64_t allocated;
};
Planned plan_and_allocate(Kernels& kernels, CudaDevice& device, Offload offload) {
  const ModelConfig config = odd_model(true);
  ShardSettings shard;
  shard.offload = offload;
  const ModelSettings settings;
  MessageCommunicator world(std::make_unique<LoneTransport>(Peer{}));
  Profiler profiler(device);
  ShardGroups groups(world, shard, 1, device);
  Planned planned{plan_memory(DeviceKind::cuda, config, shard, settings, 1, 24), 0};
  plan_device(planned.plan, device, kernels, largest_shapes(config, settings, 1, 24, 12));
  const ShardedModel model(device, kernels, profiler, groups, config, shard, settings, 24, 1, 12);
  planned.allocated = device.bytes_in_use();
  return planned;
}

}  // namespace

TEST_CASE("a GPU's memory is what the plan says, kernels and batches included, and the loss", "[cuda_shim]") {
  for (const Offload offload : {Offload::none, Offload::optimizer, Offload::params}) {
    CudaDevice device(0);
    CudaKernels kernels(std::make_shared<Workspace>(device), std::make_unique<PlainProducts>());
    const Planned planned = plan_and_allocate(kernels, device, offload);
    CHECK(planned.plan.kernels > 0);
    CHECK(planned.allocated == planned.plan.total() + static_cast<int64_t>(sizeof(double)));
  }
}

TEST_CASE("libraries and own kernels share one workspace, as large as the one that wants most", "[cuda_shim]") {
  CudaDevice device(0);
  LargestShapes announced{};
  CudaKernels kernels(std::make_shared<Workspace>(device), std::make_unique<GreedyProducts>(),
                      std::make_unique<GreedyAttention>(announced));
  const Planned planned = plan_and_allocate(kernels, device, Offload::none);
  CHECK(planned.plan.kernels == 70000 + batches_ahead * DeviceBatch::device_bytes(device, 24));
  CHECK(planned.allocated == planned.plan.total() + static_cast<int64_t>(sizeof(double)));
  CHECK(announced.T == 24);
  CHECK(announced.longest == 12);
  CHECK(announced.dtype == DType::bf16);
  CHECK(announced.trains());
  CHECK_THAT(planned.plan.describe(), Catch::Contains("kernels 0"));
}

}  // namespace tessera::test
