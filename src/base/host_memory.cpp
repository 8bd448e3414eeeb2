#include "base/host_memory.h"

#include <sys/resource.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

#include "base/amount.h"
#include "base/number.h"

namespace tessera {
namespace {

constexpr int64_t unlimited = std::numeric_limits<int64_t>::max();

/// The number in a file; no limit where it says "max", or where there is none.
int64_t limit_in(const std::filesystem::path& file) {
  int64_t bytes = 0;
  return std::ifstream(file) >> bytes ? bytes : unlimited;
}

}  // namespace

int64_t control_group_limit(const std::filesystem::path& membership, const std::filesystem::path& root) {
  int64_t least = unlimited;
  std::ifstream lines(membership);
  for (std::string line; std::getline(lines, line);) {  // "0::/path", or of version 1 "7:memory:/path"
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool unified = controllers.empty();
    if (!unified && (',' + controllers + ',').find(",memory,") == std::string::npos) continue;
    const std::filesystem::path top = unified ? root : root / "memory";
    for (std::filesystem::path group = line.substr(second + 1);; group = group.parent_path()) {
      const std::filesystem::path folder = top / group.relative_path();
      least = std::min(least, limit_in(folder / (unified ? "memory.max" : "memory.limit_in_bytes")));
      if (!group.has_relative_path()) break;
    }
  }
  return least;
}

int64_t host_memory_bytes() {
  struct sysinfo host {};
  if (sysinfo(&host) != 0) return unlimited;
  const Amount unit = int64_t{host.mem_unit};
  const Amount memory = unit * narrow<int64_t>(host.totalram), swap = unit * narrow<int64_t>(host.totalswap);
  return (std::min(memory, Amount(control_group_limit("/proc/self/cgroup", "/sys/fs/cgroup"))) + swap).value();
}

int64_t peak_host_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace tessera
