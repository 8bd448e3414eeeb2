#include <nccl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

#include "base/error.h"
#include "cluster/last_words.h"
#include "cluster/nccl/nccl_communicator.h"
#include "support/barrier.h"
#include "support/collective_claims.h"
#include "support/local_communicator.h"

// The communicator of GPUs with a shim in NCCL's place, whose ranks are threads (cuda_shim/nccl.cpp).
namespace tessera::test {
namespace {

using Catch::Contains;

/// Runs as each rank that is a thread with a GPU, an NCCL group of all and a stream.  What it returns is a problem of
/// that rank.
using Check = std::function<std::string(Communicator&, Stream&)>;
std::vector<std::string> problems_on_gpus(int ranks, const Check& check, int max_ctas = 0) {
  std::vector<std::string> problems(static_cast<size_t>(ranks));
  run_on_ranks(ranks, [&](Communicator& world) {
    CudaDevice device(0);
    NcclCommunicator group(device, world.split(0, "all"), max_ctas);
    const auto stream = device.make_stream("communication");
    problems[static_cast<size_t>(world.rank())] = check(group, *stream);
  });
  return problems;
}

std::vector<std::string> none(int ranks) { return std::vector<std::string>(static_cast<size_t>(ranks)); }

/// What the work throws, in words.
std::string thrown_by(const std::function<void()>& work) {
  try {
    work();
  } catch (const ClusterError& error) {
    return error.what();
  }
  return {};
}

struct NothingHeld {
  NothingHeld() = default;
  ~NothingHeld() {
    nccl_shim::report(ncclSuccess);
    const nccl_shim::Held held = nccl_shim::held();
    CHECK(held.communicators == 0);
  }
  NothingHeld(const NothingHeld&) = delete;
  NothingHeld& operator=(const NothingHeld&) = delete;
};

}  // namespace

TEST_CASE("every claim about collectives holds over NCCL, without an abort", "[cuda_shim][nccl]") {
  const NothingHeld after;
  const int aborted = nccl_shim::aborted();
  for (const CollectiveClaim& claim : collective_claims())
    for (const int ranks : {1, 2, 3}) {
      INFO(claim.sentence << ": " << ranks << " ranks");
      REQUIRE(problems_on_gpus(ranks, claim.check) == none(ranks));
    }
  CHECK(nccl_shim::held().registrations == 0);
  CHECK(nccl_shim::aborted() == aborted);
}

TEST_CASE("memory is registered once, between hosts alone, and by no NCCL that could hang then", "[cuda_shim][nccl]") {
  const NothingHeld after;
  const auto registered_by = [&](int ranks) {
    int registered = -1;
    const auto problems = problems_on_gpus(ranks, [&](Communicator& group, Stream& stream) -> std::string {
      std::vector<float> own(8);
      for (int time = 0; time < 3; ++time) group.all_reduce(stream, own.data(), 8, "all_reduce");
      stream.synchronize();
      barrier(group, "everybody has registered");
      if (group.rank() == 0) registered = nccl_shim::held().registrations;
      barrier(group, "it was counted");
      return {};
    });
    REQUIRE(problems == none(ranks));
    return registered;
  };
  CHECK(registered_by(2) == 2);  // one each; the ranks of a local group say that they are on hosts of their own
  CHECK(registered_by(1) == 0);
  nccl_shim::set_version(NCCL_VERSION(2, 31, 9));
  CHECK(registered_by(2) == 0);
  nccl_shim::set_version(NCCL_VERSION(2, 32, 0));
  CHECK(registered_by(2) == 2);
  CHECK(nccl_shim::held().registrations == 0);
}

TEST_CASE("a job sets the CTAs of a collective, otherwise NCCL does between hosts", "[cuda_shim][nccl]") {
  const NothingHeld after;
  const auto max_ctas = [](int ranks, int wanted) {
    const auto nothing = [](Communicator&, Stream&) { return std::string(); };
    REQUIRE(problems_on_gpus(ranks, nothing, wanted) == none(ranks));
    return nccl_shim::last_max_ctas();
  };
  CHECK(max_ctas(1, 0) == 8);
  CHECK(max_ctas(2, 0) == NCCL_CONFIG_UNDEF_INT);
  CHECK(max_ctas(1, 16) == 16);
  CHECK(max_ctas(2, 16) == 16);
}

TEST_CASE("a rank that waits for a stalled rank gets an error, and NCCL is aborted", "[cuda_shim][nccl]") {
  const NothingHeld after;
  const auto problems = problems_on_gpus(2, [](Communicator& group, Stream& stream) -> std::string {
    std::vector<float> data(4);
    group.set_timeout(0.2);
    std::string told, again;
    if (group.rank() == 0) {
      told = thrown_by([&] {
        group.all_reduce(stream, data.data(), 4, "the sum of step 7");
        stream.synchronize();
      });
      again = thrown_by([&] { group.all_reduce(stream, data.data(), 4, "the next one"); });
    }
    group.set_timeout(60);
    barrier(group, "the other one has given up");
    return told == again ? told : "first: " + told + "; then: " + again;
  });
  CHECK_THAT(problems[0], Contains("rank 0 (node0) has waited in the sum of step 7 for 0.2 s") && !Contains("first:"));
  CHECK(problems[1].empty());
}

TEST_CASE("an error that NCCL reports later ends the collective that runs", "[cuda_shim][nccl]") {
  const NothingHeld after;
  const auto problems = problems_on_gpus(2, [](Communicator& group, Stream& stream) -> std::string {
    std::vector<float> data(4);
    std::string told;
    if (group.rank() == 0)
      told = thrown_by([&] {
        group.all_reduce(stream, data.data(), 4, "the sum of step 7");
        nccl_shim::report(ncclSystemError);
        stream.synchronize();
      });
    barrier(group, "the error was seen");
    nccl_shim::report(ncclSuccess);
    return told;
  });
  CHECK_THAT(problems[0], Contains("nccl: the sum of step 7: unhandled system error"));
  CHECK(problems[1].empty());
}

TEST_CASE("a collective that NCCL refuses is reported at once, and every later one", "[cuda_shim][nccl]") {
  const NothingHeld after;
  const auto problems = problems_on_gpus(1, [](Communicator& group, Stream& stream) -> std::string {
    std::vector<float> data(4);
    nccl_shim::refuse(ncclInvalidArgument);
    const auto sum = [&] { group.all_reduce(stream, data.data(), 4, "the sum of step 7"); };
    const std::string told = thrown_by(sum);
    return thrown_by(sum) == told ? told : "another error";
  });
  CHECK_THAT(problems[0], Contains("nccl: the sum of step 7: another error (the shim was told to)"));
}

TEST_CASE("a rank that hangs in the abort exits with its error", "[cuda_shim][nccl]") {
  const auto status_of = [](bool hangs) {
    const pid_t child = fork();
    if (child == 0) {
      {
        const LastWords unless_it_returns("a rank is late", std::chrono::milliseconds(hangs ? 50 : 60'000));
        while (hangs) pause();
      }
      std::_Exit(0);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WEXITSTATUS(status);
  };
  CHECK(status_of(false) == 0);
  CHECK(status_of(true) == static_cast<int>(ExitCode::cluster_failed));
}

}  // namespace tessera::test
