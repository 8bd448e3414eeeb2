#include <catch2/catch.hpp>

#include "device/cuda/cuda_device.h"
#include "kernels/cuda/cuda_kernels.h"
#include "shard/memory.h"
#include "support/small_model.h"

namespace tessera::test {
namespace {

/// The kernels of a GPU without cuDNN.
struct Gpu {
  CudaDevice device{0};
  std::shared_ptr<Workspace> workspace = std::make_shared<Workspace>(device);
  CudaKernels kernels{workspace, std::make_unique<CublasLtGemm>(device, workspace)};
};

/// A model on a GPU whose kernels are `kernels`, and what was planned for it.
struct Planned {
  MemoryPlan plan;
  int64_t allocated;
};
Planned plan_and_allocate(Kernels& kernels, CudaDevice& device, Offload offload) {
  const ModelSpec config = odd_model(true);
  ShardSettings shard;
  shard.offload = offload;
  const ModelSettings settings;
  MessageCommunicator world(std::make_unique<LoneTransport>(Peer{}));
  Profiler profiler(device);
  ShardGroups groups(world, shard, 1, device);
  const ShardedModelSettings asked = with_moments(shard, settings, 24, 12);
  Planned planned{plan_memory(DeviceKind::cuda, config, asked, 1), 0};
  plan_device(planned.plan, kernels, largest_shapes(config, asked, 1));
  const ShardedModel model({device, kernels, profiler, groups}, config, asked);
  planned.allocated = device.bytes_in_use();
  return planned;
}

}  // namespace

TEST_CASE("a GPU's memory is what the plan says, kernels and batches included", "[cuda_shim]") {
  for (const Offload offload : {Offload::none, Offload::optimizer, Offload::params}) {
    Gpu gpu;
    const Planned planned = plan_and_allocate(gpu.kernels, gpu.device, offload);
    CHECK(planned.plan.kernels > 0);
    CHECK(planned.allocated == planned.plan.total());
  }
}

TEST_CASE("kernels get the largest batch, its documents and the compute type", "[cuda_shim]") {
  const LargestShapes largest = largest_shapes(odd_model(true), with_moments({}, {}, 24, 12), 1);
  CHECK(largest.T == 24);
  CHECK(largest.longest == 12);
  CHECK(largest.dtype == DType::bf16);
  CHECK(largest.trains());
}

TEST_CASE("libraries and own kernels share one workspace, as large as the one that wants most", "[cuda_shim]") {
  Gpu gpu;
  const Planned planned = plan_and_allocate(gpu.kernels, gpu.device, Offload::none);
  const int64_t of_products = CublasLtGemm(gpu.device, gpu.workspace).workspace_bytes();
  CHECK(planned.plan.kernels ==
        of_products + batches_ahead * DeviceBatch::device_bytes(gpu.device, 24) + static_cast<int64_t>(sizeof(double)));
  CHECK(planned.allocated == planned.plan.total());
  CHECK_THAT(planned.plan.describe(), Catch::Contains("kernels 34"));
}

}  // namespace tessera::test
