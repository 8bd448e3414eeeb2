#include "base/host_memory.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <limits>

#include "support/temporary_folder.h"

using namespace tessera;
using namespace tessera::test;

namespace {

void put(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

}  // namespace

TEST_CASE("The least limit of a control group and of those above it counts", "[base]") {
  const TemporaryFolder folder;
  put(folder / "root/memory.max", "max\n");
  put(folder / "root/slurm/memory.max", "1000\n");
  put(folder / "root/slurm/job_7/memory.max", "5000\n");
  put(folder / "own", "0::/slurm/job_7/step_0\n");
  CHECK(control_group_limit(folder / "own", folder / "root") == 1000);
}

TEST_CASE("The memory controller of version 1 is followed", "[base]") {
  const TemporaryFolder folder;
  put(folder / "root/memory/docker/memory.limit_in_bytes", "4096\n");
  put(folder / "own", "3:cpu,cpuacct:/other\n2:memory,hugetlb:/docker\n");
  CHECK(control_group_limit(folder / "own", folder / "root") == 4096);
}

TEST_CASE("Without a control group's limit there is no limit", "[base]") {
  const TemporaryFolder folder;
  put(folder / "own", "0::/\n");
  CHECK(control_group_limit(folder / "own", folder / "root") == std::numeric_limits<int64_t>::max());
  CHECK(control_group_limit(folder / "nothing", folder / "root") == std::numeric_limits<int64_t>::max());
  CHECK(host_memory_bytes() > 0);
}
