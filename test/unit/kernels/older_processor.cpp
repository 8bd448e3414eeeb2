#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>

// oneDNN fixes once per process what it makes of the processor, so another processor needs another process: this
// program again, with its tests of products and attention only.
namespace tessera::test {
namespace {

int run_as(const std::string& instructions) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string command = "ONEDNN_MAX_CPU_ISA=" + instructions + " '" + self + "' '[gemm],[attention]' > /dev/null";
  return std::system(command.c_str());
}

TEST_CASE("products and attention are right on a processor with AVX2 only", "[kernels][long]") {
  REQUIRE(run_as("AVX2") == 0);
}

TEST_CASE("products and attention are right on a processor with AVX-512 but no bf16", "[kernels][long]") {
  REQUIRE(run_as("AVX512_CORE") == 0);
}

}  // namespace
}  // namespace tessera::test
