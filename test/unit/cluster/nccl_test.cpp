#include <array>
#include <catch2/catch.hpp>

#include "base/error.h"
#include "cluster/collective_watch.h"
#include "cluster/nccl/collective_call.h"
#include "cluster/nccl/messages.h"

using namespace tessera;
using Catch::Contains;
using Kind = CollectiveCall::Kind;
using Element = CollectiveCall::Element;
using Ranges = std::vector<std::pair<void*, size_t>>;

TEST_CASE("NCCL is given counts of one rank: bytes to gather, floats to sum", "[cluster]") {
  std::array<float, 12> a{}, b{};
  const CollectiveCall gather = all_gather_call(a.data(), b.data(), 10);
  CHECK((gather.kind == Kind::all_gather && gather.element == Element::byte && gather.count == 10));
  CHECK((gather.send == a.data() && gather.recv == b.data()));
  const CollectiveCall scatter = reduce_scatter_call(a.data(), b.data(), 3);
  CHECK((scatter.kind == Kind::reduce_scatter && scatter.element == Element::f32 && scatter.count == 3));
  CHECK((scatter.send == a.data() && scatter.recv == b.data()));
  const CollectiveCall sum = all_reduce_call(a.data(), 12);
  CHECK((sum.kind == Kind::all_reduce && sum.element == Element::f32 && sum.count == 12));
  CHECK((sum.send == a.data() && sum.recv == a.data()));
}

TEST_CASE("counts beyond 32 bits reach NCCL whole", "[cluster]") {
  const int64_t many = (int64_t{5} << 32) + 3;
  CHECK(all_gather_call(nullptr, nullptr, many).count == static_cast<size_t>(many));
}

TEST_CASE("NCCL is not called for empty or negative counts", "[cluster]") {
  CHECK(all_gather_call(nullptr, nullptr, 0).empty());
  CHECK(reduce_scatter_call(nullptr, nullptr, 0).empty());
  CHECK_THROWS_AS(all_reduce_call(nullptr, -1), std::logic_error);
}

TEST_CASE("the memory of a call is what each rank reads and writes, once", "[cluster]") {
  std::array<float, 12> a{}, b{};
  CHECK(memory_of(all_gather_call(a.data(), b.data(), 8), 3) == Ranges{{a.data(), 8}, {b.data(), 24}});
  CHECK(memory_of(all_gather_call(b.data() + 2, b.data(), 8), 3) == Ranges{{b.data(), 24}});
  CHECK(memory_of(all_gather_call(b.data() + 6, b.data(), 8), 3) == Ranges{{b.data() + 6, 8}, {b.data(), 24}});
  CHECK(memory_of(reduce_scatter_call(a.data(), b.data(), 4), 3) == Ranges{{a.data(), 48}, {b.data(), 16}});
  CHECK(memory_of(all_reduce_call(a.data(), 5), 3) == Ranges{{a.data(), 20}});
}

TEST_CASE("an NCCL that is too old is named with the version that is needed", "[cluster]") {
  CHECK_NOTHROW(check_nccl_version(22807, 21900, "Tessera"));
  CHECK_NOTHROW(check_nccl_version(21900, 21900, "Tessera"));
  CHECK_THROWS_WITH(check_nccl_version(21805, 21900, "Tessera"),
                    Contains("this host has NCCL 2.18.5; Tessera needs 2.19.0 or newer"));
  CHECK_THROWS_WITH(check_nccl_version(2804, 21900, "Tessera"), Contains("NCCL 2.8.4;"));
  CHECK_THROWS_AS(check_nccl_version(22903, 23003, "sharing a GPU"), ClusterError);
}

TEST_CASE("a collective that does not finish is reported with its rank, its group and where to look", "[cluster]") {
  const std::vector<Peer> group = {{0, "node1"}, {2, "node3"}};
  CHECK_THAT(late_collective_message("all_gather(layer 12) of step 481", 300, 1, group),
             Contains("rank 2 (node3) has waited in all_gather(layer 12) of step 481 for 300 s") &&
                 Contains("ranks 0 (node1), 2 (node3)") && Contains("nvidia-smi") && Contains("timeout_seconds"));
}

// ---- watching ----

namespace {

using Place = RunningCollective::Place;

/// A stream whose place is set by hand: it is in collective number `at`, or before it.
struct Stage {
  int at = 0;
  bool inside = false;
};
class Staged final : public RunningCollective {
 public:
  Staged(std::string name, const Stage& stage, int number)
      : RunningCollective(std::move(name)), stage_(stage), number_(number) {}
  Place place() const override {
    if (number_ != stage_.at) return number_ < stage_.at ? Place::passed : Place::ahead;
    return stage_.inside ? Place::inside : Place::ahead;
  }

 private:
  const Stage& stage_;
  int number_;
};

/// A watch over three collectives, and a clock that looks every 100 ms while it runs.
struct Watched {
  CollectiveWatch::Clock::time_point now{};
  CollectiveWatch watch{now};
  Stage stage;
  Watched() {
    for (int i = 0; i < 3; ++i) watch.add(std::make_unique<Staged>("number " + std::to_string(i), stage, i));
  }
  void run(double seconds) {
    for (int i = 0; i < static_cast<int>(seconds * 10); ++i) watch.look(now += std::chrono::milliseconds(100));
  }
};

}  // namespace

TEST_CASE("a collective is late once its stream has been inside it for the timeout", "[cluster]") {
  Watched w;
  w.stage.inside = true;
  w.run(9.5);
  CHECK_FALSE(w.watch.is_late(10, 0));
  w.run(1);
  CHECK(w.watch.is_late(10, 0));
  CHECK(w.watch.oldest()->name() == "number 0");
}

TEST_CASE("the time before a stream reaches a collective does not count", "[cluster]") {
  Watched w;
  w.run(1000);
  CHECK_FALSE(w.watch.is_late(10, 0));
  w.stage.inside = true;
  w.run(9);
  CHECK_FALSE(w.watch.is_late(10, 0));
}

TEST_CASE("every collective that ends begins the time anew", "[cluster]") {
  Watched w;
  w.stage.inside = true;
  for (w.stage.at = 0; w.stage.at < 3; ++w.stage.at) {
    w.run(9);
    CHECK_FALSE(w.watch.is_late(10, 0));
  }
  w.run(1);
  CHECK(w.watch.oldest() == nullptr);
  w.run(100);
  CHECK_FALSE(w.watch.is_late(10, 0));
}

TEST_CASE("several collectives that ended between two looks are forgotten together", "[cluster]") {
  Watched w;
  w.stage = {2, true};
  w.run(0.1);
  CHECK(w.watch.all().size() == 1);
  CHECK(w.watch.oldest()->name() == "number 2");
}

TEST_CASE("a timeout of 0 waits for ever, and ranks speak in turn", "[cluster]") {
  Watched w;
  w.stage.inside = true;
  w.run(14);
  CHECK_FALSE(w.watch.is_late(0, 0));
  CHECK(w.watch.is_late(10, 0));
  CHECK_FALSE(w.watch.is_late(10, 1));
  w.run(2);
  CHECK(w.watch.is_late(10, 1));
}

TEST_CASE("a host that stood still does not take another rank for late", "[cluster]") {
  Watched w;
  w.stage.inside = true;
  w.run(1);
  w.watch.look(w.now += std::chrono::hours(1));
  CHECK_FALSE(w.watch.is_late(10, 0));
}
