#include <catch2/catch.hpp>

#include "device/cuda/cuda_device.h"
#include "kernels/cuda/cuda_kernels.h"
#include "support/small_model.h"

namespace tessera::test {

TEST_CASE("a steady update of a GPU allocates nothing and waits for the streams at its end alone", "[cuda_shim]") {
  CudaDevice device(0);
  const auto workspace = std::make_shared<Workspace>(device);
  CudaKernels kernels(workspace, std::make_unique<CublasLtGemm>(device, workspace));
  for (const Offload offload : {Offload::none, Offload::optimizer, Offload::params}) {
    const auto cost = cost_of_a_steady_update(device, kernels, offload);
    CHECK(cost.allocations == 0);
    CHECK(cost.waits == (offload == Offload::none ? 2 : 4));
  }
}

TEST_CASE("packed documents of ever new lengths allocate nothing, from the first update on", "[cuda_shim][long]") {
  CudaDevice device(0);
  const auto workspace = std::make_shared<Workspace>(device);
  CudaKernels kernels(workspace, std::make_unique<CublasLtGemm>(device, workspace));
  CHECK(allocations_of_packed_updates(device, kernels) == 0);
}

}  // namespace tessera::test
