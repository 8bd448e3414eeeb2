#include <catch2/catch.hpp>

#include "cluster/transport.h"
#include "support/collective_claims.h"
#include "support/local_communicator.h"

using namespace tessera;
using namespace tessera::test;

namespace {

/// What each rank of a local group finds wrong with the claim.
std::vector<std::string> problems_of(const CollectiveClaim& claim, int ranks) {
  std::vector<std::string> problems(static_cast<size_t>(ranks));
  run_on_ranks(ranks, [&](Communicator& group) {
    const auto device = make_cpu_device(1);
    const auto stream = device->make_stream("communication");
    problems[static_cast<size_t>(group.rank())] = claim.check(group, *stream);
  });
  return problems;
}

}  // namespace

TEST_CASE("every claim about collectives holds on 1 to 4 ranks that are threads", "[cluster]") {
  for (const CollectiveClaim& claim : collective_claims()) {
    DYNAMIC_SECTION(claim.sentence) {
      for (const int ranks : {1, 2, 3, 4}) {
        INFO(ranks << " ranks");
        REQUIRE(problems_of(claim, ranks) == std::vector<std::string>(static_cast<size_t>(ranks)));
      }
    }
  }
}

TEST_CASE("a process that mpirun did not start has the collectives of one rank", "[cluster]") {
  MessageCommunicator group(std::make_unique<LoneTransport>(Peer{0, "laptop"}));
  const auto device = make_cpu_device(1);
  const auto stream = device->make_stream("communication");
  for (const CollectiveClaim& claim : collective_claims()) {
    INFO(claim.sentence);
    REQUIRE(claim.check(group, *stream).empty());
  }
}

TEST_CASE("a root outside the group is refused before anything is sent", "[cluster]") {
  MessageCommunicator group(std::make_unique<LoneTransport>(Peer{0, "laptop"}));
  char byte = 0;
  REQUIRE_THROWS_AS(group.broadcast_host(&byte, 1, 1, "broadcast"), std::logic_error);
}
