// Ways to fail under mpirun, handled as main handles them: failures_mpi late | abort CODE | agree CODE [RANK …]
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <set>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cluster/agree.h"
#include "cluster/cluster.h"
#include "device/device.h"
#include "support/barrier.h"

using namespace tessera;

namespace {

/// The last rank never comes to the others' collective.
void be_late(Cluster& cluster) {
  cluster.world().set_timeout(5);  // and as long for rank 0 to end the job, before rank 1 speaks too (waited.h)
  const auto device = make_cpu_device(1);
  const auto stream = device->make_stream("communication");
  std::vector<char> all(static_cast<size_t>(cluster.size()) * 3000000);
  while (cluster.rank() == cluster.size() - 1) pause();  // until mpirun ends it
  cluster.world().all_gather(*stream, all.data(), all.data(), 3000000, "all_gather(layer 12) of step 481");
  stream->synchronize();
}

void fail_together(Cluster& cluster, ExitCode code, const std::set<int>& ranks) {
  agree(cluster.world(), "the start", [&] {
    if (ranks.count(cluster.rank()) == 1) throw Error(code, fmt::format("rank {} has the error", cluster.rank()));
  });
}

int run(Cluster& cluster, const std::vector<std::string>& arguments) {
  const auto code = static_cast<ExitCode>(arguments.size() > 1 ? std::stoi(arguments[1]) : 0);
  if (arguments[0] == "late") be_late(cluster);
  if (arguments[0] == "agree") {
    std::set<int> ranks;
    for (size_t i = 2; i < arguments.size(); ++i) ranks.insert(std::stoi(arguments[i]));
    fail_together(cluster, code, ranks);
  }
  if (arguments[0] == "abort") {
    if (cluster.rank() == cluster.size() - 1) throw Error(code, "only this rank knows");
    test::barrier(cluster.world(), "a barrier that one rank never reaches");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Cluster cluster(&argc, &argv);
  try {
    return run(cluster, {argv + 1, argv + argc});
  } catch (const FailedElsewhere& error) {
    return static_cast<int>(error.code());
  } catch (const Error& error) {
    fmt::print(stderr, "{}error: {}\n", cluster.prefix(), error.what());
    if (std::string_view(argv[1]) == "agree") return static_cast<int>(error.code());
    cluster.abort(static_cast<int>(error.code()));
  }
}
