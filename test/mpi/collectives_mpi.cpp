// The claims about collectives, among the ranks that mpirun started.  The exit code says whether they hold on this
// rank.
#include <fmt/format.h>

#include "base/error.h"
#include "cluster/agree.h"
#include "cluster/cluster.h"
#include "support/collective_claims.h"

using namespace tessera;

namespace {

/// The cluster knows the ranks of a host.
std::string check_hosts(const Cluster& cluster) {
  if (static_cast<int>(cluster.hosts().size()) != cluster.size()) return "there is not one host name a rank";
  if (cluster.hosts()[static_cast<size_t>(cluster.rank())] != cluster.host()) return "a rank's host name is another's";
  if (cluster.local_size() != cluster.size() || cluster.local_rank() != cluster.rank()) {
    return "ranks of one host do not see that they share it";
  }
  const std::string expected = cluster.size() == 1 ? "" : fmt::format("rank {} ({}): ", cluster.rank(), cluster.host());
  return cluster.prefix() == expected ? "" : "the prefix of messages is " + cluster.prefix();
}

/// The same sums twice give the same bits, whatever the order in which the messages came.
std::string check_repeatable(Communicator& group, Stream& stream) {
  constexpr int64_t float_count = 300007;
  std::vector<float> first;
  for (int time = 0; time < 3; ++time) {
    std::vector<float> data = test::values_of(group.rank(), float_count);
    group.all_reduce(stream, data.data(), float_count, "all_reduce, repeated");
    stream.synchronize();
    if (time == 0) first = data;
    if (auto d = test::difference("a repeated all_reduce", float_count, data, first); !d.empty()) return d;
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Cluster cluster(&argc, &argv);
  cluster.world().set_timeout(60);
  int problems = 0;
  const auto report = [&](const std::string& sentence, const std::string& problem) {
    if (problem.empty()) return;
    ++problems;
    fmt::print(stderr, "{}{}: {}\n", cluster.prefix(), sentence, problem);
  };

  try {
    const auto device = make_cpu_device(1);
    const auto stream = device->make_stream("communication");
    report("a rank knows its host", check_hosts(cluster));
    for (const auto& claim : test::collective_claims()) report(claim.sentence, claim.check(cluster.world(), *stream));
    report("sums repeat bit for bit", check_repeatable(cluster.world(), *stream));
    agree(cluster.world(), "the end of the test", [&] {
      if (problems > 0) throw ClusterError("{} claims do not hold", problems);
    });
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}{}\n", cluster.prefix(), error.what());
    cluster.abort(1);
  }
  if (cluster.rank() == 0) fmt::print("every claim holds on {} ranks\n", cluster.size());
  return 0;
}
