#include <catch2/catch.hpp>

#include "device/device.h"
#include "device/gpu_library.h"

namespace tessera::test {

TEST_CASE("cuDNN's attention agrees with our own kernels wherever a library has been wrong", "[cuda][cudnn]") {
  const auto device = make_cuda_device(0);
  std::vector<std::string> differences;
  GpuLibrary::get().find<void(Device&, std::vector<std::string>&)>("tessera_gpu_check_attention")(*device, differences);
  for (const std::string& difference : differences) UNSCOPED_INFO(difference);
  CHECK(differences.empty());
}

}  // namespace tessera::test
