// The tests of the kernels and the GPU's own, on the first GPU of this machine; status 77 where there is none.
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "base/error.h"
#include "device/device.h"
#include "support/run_tests.h"

int main(int argc, char** argv) {
  try {
    if (tessera::find_gpus().empty()) throw tessera::ClusterError("there is no GPU here");
  } catch (const tessera::ClusterError& error) {
    constexpr int nothing_to_test = 77;
    std::cout << "not tested: " << error.what() << '\n';
    return std::filesystem::exists("/dev/nvidiactl") ? EXIT_FAILURE : nothing_to_test;  // a GPU that cannot be used
  }
  return run_tests(argc, argv);
}
