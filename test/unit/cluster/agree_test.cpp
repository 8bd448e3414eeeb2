#include "cluster/agree.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <set>

#include "cluster/over_group.h"
#include "support/local_communicator.h"

using namespace tessera;
using namespace tessera::test;

namespace {

/// What each rank ends with: "" (no error), "elsewhere CODE", or its error's text.
std::string outcome_of(const std::exception_ptr& error) {
  if (!error) return "";
  try {
    std::rethrow_exception(error);
  } catch (const FailedElsewhere& elsewhere) {
    return "elsewhere " + std::to_string(static_cast<int>(elsewhere.code()));
  } catch (const std::exception& e) {
    return e.what();
  }
}

std::vector<std::string> outcomes(int ranks, const std::function<void(Communicator&)>& work) {
  std::vector<std::string> texts;
  for (const auto& error : try_on_ranks(ranks, work)) texts.push_back(outcome_of(error));
  return texts;
}

void fail_on(Communicator& group, const std::set<int>& ranks) {
  agree(group, "reading the data", [&] {
    if (ranks.count(group.rank()) == 1) throw DataError("rank {} cannot read", group.rank());
  });
}

using Texts = std::vector<std::string>;

/// A group that counts the host-side gathers that succeed.
class CountingRounds final : public OverGroup {
 public:
  CountingRounds(std::unique_ptr<Communicator> group, std::atomic<int>& rounds)
      : OverGroup(std::move(group)), rounds_(rounds) {}

  void all_gather_host(const void* send, void* recv, int64_t bytes, CollectiveName name) override {
    OverGroup::all_gather_host(send, recv, bytes, std::move(name));
    ++rounds_;
    rounds_.notify_all();
  }

  void all_gather(Stream& stream, const void* send, void* recv, int64_t bytes, CollectiveName name) override {
    group().all_gather(stream, send, recv, bytes, std::move(name));
  }
  void reduce_scatter(Stream& stream, const float* send, float* recv, int64_t count, CollectiveName name) override {
    group().reduce_scatter(stream, send, recv, count, std::move(name));
  }
  void all_reduce(Stream& stream, float* data, int64_t count, CollectiveName name) override {
    group().all_reduce(stream, data, count, std::move(name));
  }
  std::unique_ptr<Communicator> split(int color, const std::string& name) override {
    return group().split(color, name);
  }

 private:
  std::atomic<int>& rounds_;
};

void wait_for(const std::atomic<int>& rounds, int count) {
  for (int seen = rounds; seen < count; seen = rounds) rounds.wait(seen);
}

}  // namespace

TEST_CASE("agree returns on every rank where no rank failed", "[cluster]") {
  for (const int ranks : {1, 2, 3, 4}) {
    REQUIRE(outcomes(ranks, [](Communicator& group) { fail_on(group, {}); }) == Texts(static_cast<size_t>(ranks)));
  }
}

TEST_CASE("a single rank's own error comes out of agree", "[cluster]") {
  REQUIRE(outcomes(1, [](Communicator& group) { fail_on(group, {0}); }) == Texts{"rank 0 cannot read"});
}

TEST_CASE("the failing rank throws its error and the others a quiet one with its exit code", "[cluster]") {
  REQUIRE(outcomes(4, [](Communicator& group) { fail_on(group, {2}); }) ==
          Texts{"elsewhere 4", "elsewhere 4", "rank 2 cannot read", "elsewhere 4"});
}

TEST_CASE("of several failing ranks the lowest one speaks", "[cluster]") {
  REQUIRE(outcomes(4, [](Communicator& group) {
            fail_on(group, {1, 2, 3});
          }) == Texts{"elsewhere 4", "rank 1 cannot read", "elsewhere 4", "elsewhere 4"});
}

TEST_CASE("an agreement inside an agreement keeps the rank that has the error speaking", "[cluster]") {
  REQUIRE(outcomes(3, [](Communicator& group) { agree(group, "outer", [&] { fail_on(group, {1}); }); }) ==
          Texts{"elsewhere 4", "rank 1 cannot read", "elsewhere 4"});
}

TEST_CASE("an error that is not the program's own counts as a failed cluster elsewhere", "[cluster]") {
  REQUIRE(outcomes(2, [](Communicator& group) {
            agree(group, "work", [&] {
              if (group.rank() == 0) throw std::bad_alloc();
            });
          })[1] == "elsewhere 3");
}

TEST_CASE("with unlimited patience a rank may work for longer than the timeout", "[cluster]") {
  constexpr int enough = 8;  // heartbeats of a working rank, which are a quarter of the timeout apart
  std::atomic<int> rounds = 0, others = 0;
  REQUIRE(outcomes(3, [&](Communicator& group) {
            CountingRounds counted(group.split(0, "all ranks"), group.rank() == 1 ? rounds : others);
            counted.set_timeout(0.2);
            const auto work = [&] {
              if (counted.rank() == 1) wait_for(rounds, enough);
            };
            try {
              agree(counted, "preparing the data", work, Patience::unlimited);
            } catch (const std::exception&) {
              rounds = enough;  // the test fails; no rank waits for it
              rounds.notify_all();
              throw;
            }
          }) == Texts(3));
}

TEST_CASE("with unlimited patience a rank's error is reported as usual", "[cluster]") {
  REQUIRE(outcomes(3, [](Communicator& group) {
            agree(
                group, "preparing the data",
                [&] {
                  if (group.rank() == 1) throw DataError("rank 1 cannot read");
                },
                Patience::unlimited);
          }) == Texts{"elsewhere 4", "rank 1 cannot read", "elsewhere 4"});
}

TEST_CASE("with unlimited patience a rank that sends no heartbeat is named", "[cluster]") {
  const auto texts = outcomes(3, [](Communicator& group) {
    group.set_timeout(0.2);
    if (group.rank() != 2)
      agree(
          group, "preparing the data", [] {}, Patience::unlimited);
  });
  for (const size_t rank : {0, 1})
    REQUIRE_THAT(texts[rank],
                 Catch::Contains("rank 2 (node2) has not reached the heartbeat while preparing the data for 0.2 s"));
}

TEST_CASE("any_rank is true on all ranks if one rank says so", "[cluster]") {
  for (const int who : {-1, 0, 2})
    REQUIRE(outcomes(3, [who](Communicator& group) {
              if (any_rank(group, "a question", group.rank() == who) != (who >= 0)) throw DataError("another answer");
            }) == Texts(3));
}
