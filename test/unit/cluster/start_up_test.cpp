#include "cluster/start_up.h"

#include <catch2/catch.hpp>

using namespace tessera;
using Catch::Contains;

namespace {

/// A deadline and the clock that it is shown, one look every 50 ms.
struct Start {
  StartUpDeadline::Clock::time_point now{};
  StartUpDeadline deadline;

  explicit Start(int rank = 0) : deadline(now, rank) {}
  void pass(double seconds) {
    for (int look = 0; look < seconds * 20; ++look) deadline.look(now += std::chrono::milliseconds(50));
  }
};

}  // namespace

TEST_CASE("the start-up limit is the job's timeout, and at least a minute", "[cluster]") {
  for (const auto& [timeout, allowed] : {std::pair{5.0, 60.0}, {100.0, 100.0}}) {
    Start start;
    start.deadline.allow(timeout);
    start.pass(allowed - 0.5);
    REQUIRE_FALSE(start.deadline.is_over());
    start.pass(1);
    REQUIRE(start.deadline.is_over());
  }
}

TEST_CASE("until the job is read, the start-up limit is the default timeout", "[cluster]") {
  Start start;
  start.pass(299);
  REQUIRE_FALSE(start.deadline.is_over());
  start.pass(2);
  REQUIRE(start.deadline.is_over());
}

TEST_CASE("time in which the machine stood still is no part of a job's start", "[cluster]") {
  Start start;
  start.deadline.allow(60);
  start.pass(30);
  start.deadline.look(start.now += std::chrono::hours(8));
  start.pass(28);
  REQUIRE_FALSE(start.deadline.is_over());
}

TEST_CASE("ranks whose start takes too long together speak one after the other", "[cluster]") {
  Start start(2);
  start.deadline.allow(60);
  start.pass(69);
  REQUIRE_FALSE(start.deadline.is_over());
  start.pass(2);
  REQUIRE(start.deadline.is_over());
}

TEST_CASE("a start-up that takes too long names the host and what it waits for", "[cluster]") {
  Start start;
  start.deadline.allow(60);
  REQUIRE_THAT(start.deadline.message("node4"), Contains("host node4 has waited 60 s") && Contains("the job file"));
  start.deadline.waits_for("every rank to reach MPI_Init");
  REQUIRE_THAT(start.deadline.message("node4"), Contains("now for every rank to reach MPI_Init. Stopping"));
}
