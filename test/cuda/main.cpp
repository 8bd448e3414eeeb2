// The tests of the kernels and the GPU's own, on the first GPU of this machine; status 77 where there is none, 1 where
// there is a driver and the GPU part cannot be loaded.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <iostream>

#include "base/error.h"
#include "device/device.h"
#include "device/gpu_library.h"

int main(int argc, char** argv) {
  constexpr int nothing_to_test = 77;
  if (tessera::GpuLibrary::has_driver()) {
    try {
      tessera::GpuLibrary::get();
    } catch (const tessera::ClusterError& error) {
      std::cout << error.what() << '\n';
      return 1;
    }
  }
  try {
    if (tessera::find_gpus().empty()) throw tessera::ClusterError("there is no GPU here");
  } catch (const tessera::ClusterError& error) {
    std::cout << "not tested: " << error.what() << '\n';
    return nothing_to_test;
  }
  return Catch::Session().run(argc, argv);
}
