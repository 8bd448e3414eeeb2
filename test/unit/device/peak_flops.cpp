#include "device/cuda/peak_flops.h"

#include <catch2/catch.hpp>
#include <utility>
#include <vector>

namespace tessera::test {

TEST_CASE("a GPU's peak is that of its own form, dense", "[device]") {
  const std::vector<std::pair<const char*, double>> bf16_peaks = {{"NVIDIA H100 80GB HBM3", 989.4e12},
                                                                  {"NVIDIA H100 PCIe", 756e12},
                                                                  {"NVIDIA H100 NVL", 835.5e12},
                                                                  {"NVIDIA H200", 989.4e12},
                                                                  {"NVIDIA H200 NVL", 835.5e12},
                                                                  {"NVIDIA GH200 480GB", 989.4e12},
                                                                  {"NVIDIA B200", 2250e12},
                                                                  {"NVIDIA A100-SXM4-80GB", 312e12},
                                                                  {"NVIDIA A100 80GB PCIe", 312e12},
                                                                  {"NVIDIA L40S", 362.1e12},
                                                                  {"NVIDIA GeForce RTX 4090", 165.2e12},
                                                                  {"NVIDIA GeForce RTX 5090", 209.5e12}};
  for (const auto& [name, peak] : bf16_peaks) {
    INFO(name);
    CHECK(cuda::peak_flops(name, DType::bf16) == peak);
    CHECK(cuda::peak_flops(name, DType::f32) > 0);
    CHECK(cuda::peak_flops(name, DType::f32) < peak);
  }
}

TEST_CASE("a GPU that is not in the table has no peak, whatever its name begins with", "[device]") {
  for (const char* name : {"NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA GeForce RTX 4090 Laptop GPU",
                           "NVIDIA GeForce RTX 4090 D", "NVIDIA L40", "NVIDIA A10", "NVIDIA B2000", "shim"})
    CHECK(cuda::peak_flops(name, DType::bf16) == 0);
}

}  // namespace tessera::test
