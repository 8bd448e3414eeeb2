#include <catch2/catch.hpp>

#include "base/error.h"
#include "cluster/device_communicator.h"
#include "cluster/staged_communicator.h"
#include "far_device.h"
#include "support/collective_claims.h"
#include "support/local_communicator.h"

using namespace tessera;
using namespace tessera::test;
using Catch::Contains;

namespace {

/// Runs as each rank that is a thread with a far device, a staged group of all, and a stream.  What it returns is a
/// problem of that rank.
using Check = std::function<std::string(FarDevice&, Communicator&, Stream&)>;
std::vector<std::string> problems_on_far_ranks(int ranks, const Check& check) {
  std::vector<std::string> problems(static_cast<size_t>(ranks));
  run_on_ranks(ranks, [&](Communicator& world) {
    FarDevice device;
    StagedCommunicator group(device, std::make_unique<HostOnly>(device, world.split(0, "all")));
    const auto stream = device.make_stream("communication");
    problems[static_cast<size_t>(world.rank())] = check(device, group, *stream);
  });
  return problems;
}

std::vector<std::string> none(int ranks) { return std::vector<std::string>(static_cast<size_t>(ranks)); }

}  // namespace

TEST_CASE("every claim about collectives holds where the device's memory is out of the host's reach", "[cluster]") {
  for (const CollectiveClaim& claim : collective_claims()) {
    DYNAMIC_SECTION(claim.sentence) {
      for (const int ranks : {1, 2, 3}) {
        INFO(ranks << " ranks");
        REQUIRE(problems_on_far_ranks(ranks, [&](FarDevice&, Communicator& group, Stream& stream) {
                  return claim.check(group, stream);
                }) == none(ranks));
      }
    }
  }
}

TEST_CASE("growing staging memory leaves enqueued work alone", "[cluster]") {
  REQUIRE(problems_on_far_ranks(3, [](FarDevice&, Communicator& group, Stream& stream) -> std::string {
            const std::vector<int64_t> sizes = {70001, 10, 300007, 1200011};
            std::vector<std::vector<char>> sent, received;
            for (const int64_t bytes : sizes) {
              sent.push_back(bytes_of(group.rank(), bytes));
              received.emplace_back(static_cast<size_t>(bytes * group.size()));
            }
            for (size_t i = 0; i < sizes.size(); ++i)
              group.all_gather(stream, sent[i].data(), received[i].data(), sizes[i], "all_gather");
            stream.synchronize();
            for (size_t i = 0; i < sizes.size(); ++i)
              if (received[i] != gathered(group.size(), sizes[i])) return "an all_gather was disturbed";
            return {};
          }) == none(3));
}

TEST_CASE("after the largest collective staging allocates nothing and waits for nothing", "[cluster]") {
  REQUIRE(problems_on_far_ranks(2, [](FarDevice& device, Communicator& group, Stream& stream) -> std::string {
            std::vector<float> data(static_cast<size_t>(5000 * group.size())), sums(5000);
            const auto step = [&] {
              for (const int64_t count : {3000, 5000, 1000}) {
                group.all_gather(stream, sums.data(), data.data(), count * 4, "all_gather");
                group.reduce_scatter(stream, data.data(), sums.data(), count, "reduce_scatter");
                group.all_reduce(stream, sums.data(), count, "all_reduce");
              }
            };
            step();
            stream.synchronize();
            const int before = device.host_allocations();
            step();
            const int after = device.host_allocations();
            stream.synchronize();
            return after == before ? "" : "staging was allocated again";
          }) == none(2));
}

TEST_CASE("a late rank is named through staging", "[cluster]") {
  const auto errors = try_on_ranks(2, [](Communicator& world) {
    FarDevice device;
    StagedCommunicator group(device, world.split(0, "all"));
    const auto stream = device.make_stream("communication");
    if (world.rank() == 1) return;
    group.set_timeout(0.2);
    std::vector<char> all(200);
    group.all_gather(*stream, all.data(), all.data(), 100, "all_gather(layer 3) of step 9");
    stream->synchronize();
  });
  REQUIRE(errors[0] != nullptr);
  REQUIRE_THROWS_WITH(std::rethrow_exception(errors[0]),
                      Contains("rank 1 (node1) has not reached all_gather(layer 3) of step 9"));
}

TEST_CASE("a CPU's group serves it itself, ranks that share a GPU are staged", "[cluster]") {
  auto ranks = make_local_group(2);
  const auto cpu = make_cpu_device(1);
  const Communicator* own = ranks[0].get();
  const auto on_cpu = communicator_for(*cpu, std::move(ranks[0]), {.share = false});
  CHECK(on_cpu.get() == own);
  FarDevice gpu;
  const auto on_gpu = communicator_for(gpu, std::move(ranks[1]), {.share = true});
  CHECK(dynamic_cast<StagedCommunicator*>(on_gpu.get()) != nullptr);
  CHECK(on_gpu->rank() == 1);
}
