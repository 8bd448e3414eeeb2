#include <catch2/catch.hpp>
#include <chrono>
#include <set>

#include "base/error.h"
#include "cluster/exchange.h"
#include "cluster/waited.h"
#include "support/barrier.h"
#include "support/local_communicator.h"

using namespace tessera;
using namespace tessera::test;
using Catch::Contains;

namespace {

std::string text_of(const std::exception_ptr& error) {
  if (!error) return "";
  try {
    std::rethrow_exception(error);
  } catch (const ClusterError& cluster_error) {
    return cluster_error.what();
  }
}

/// What the ranks say where those in `absent` never come.
std::vector<std::string> messages_without(const std::set<int>& absent, int ranks,
                                          const std::function<void(Communicator&)>& collective) {
  std::vector<std::string> texts;
  for (const auto& error : try_on_ranks(ranks, [&](Communicator& group) {
         group.set_timeout(0.2);
         if (absent.count(group.rank()) == 0) collective(group);
       })) {
    texts.push_back(text_of(error));
  }
  return texts;
}

void gather_layer(Communicator& group) {
  const auto device = make_cpu_device(1);
  const auto stream = device->make_stream("communication");
  std::vector<char> all(static_cast<size_t>(group.size()) * 100);
  group.all_gather(*stream, all.data(), all.data(), 100, "all_gather(layer 12) of step 481");
  stream->synchronize();
}

/// A peer whose pieces come one by one, each long after the other, yet before the timeout.
class SlowPeer final : public Transport {
 public:
  SlowPeer() : Transport(0, {{0, "node0"}, {1, "node1"}}) {}
  static constexpr auto pause = std::chrono::milliseconds(100);

  std::unique_ptr<Messages> open(Lane) override { return std::make_unique<SlowMessages>(); }
  std::unique_ptr<Transport> subgroup(const std::vector<int>&) override { return nullptr; }

 private:
  class SlowMessages final : public Messages {
   public:
    void send(int, const void*, int64_t, int64_t ticket) override { tickets_.push_back(ticket); }
    void receive(int, void*, int64_t, int64_t ticket) override { tickets_.push_back(ticket); }
    void poll(std::vector<int64_t>& finished) override {
      if (tickets_.empty() || std::chrono::steady_clock::now() < next_) return;
      finished.push_back(tickets_.front());
      tickets_.pop_front();
      next_ = std::chrono::steady_clock::now() + pause;
    }

   private:
    std::deque<int64_t> tickets_;
    std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now() + pause;
  };
};

/// Peers whose data comes at once, and of which one takes nothing.
class PeerThatTakesNothing final : public Transport {
 public:
  PeerThatTakesNothing() : Transport(0, {{0, "node0"}, {1, "node1"}, {2, "node2"}}) {}

  std::unique_ptr<Messages> open(Lane) override { return std::make_unique<OneWay>(); }
  std::unique_ptr<Transport> subgroup(const std::vector<int>&) override { return nullptr; }

 private:
  class OneWay final : public Messages {
   public:
    void send(int peer, const void*, int64_t, int64_t ticket) override {
      if (peer != 1) through_.push_back(ticket);
    }
    void receive(int, void*, int64_t, int64_t ticket) override { through_.push_back(ticket); }
    void poll(std::vector<int64_t>& finished) override { finished.swap(through_); }

   private:
    std::vector<int64_t> through_;
  };
};

}  // namespace

TEST_CASE("a stalled rank is named with its host, the collective and the waiting ranks", "[cluster]") {
  const auto texts = messages_without({2}, 4, gather_layer);
  REQUIRE_THAT(texts[0], Contains("rank 2 (node2) has not reached all_gather(layer 12) of step 481 for 0.2 s; "
                                  "ranks 0, 1, 3 wait there. Stopping"));
}

TEST_CASE("every rank that waits gets the error of a late rank", "[cluster]") {
  const auto texts = messages_without({2}, 4, gather_layer);
  for (const int rank : {0, 1, 3})
    REQUIRE_THAT(texts[static_cast<size_t>(rank)], Contains("rank 2 (node2) has not reached"));
}

TEST_CASE("several late ranks are named together", "[cluster]") {
  const auto texts = messages_without({1, 2}, 3, gather_layer);
  REQUIRE_THAT(texts[0], Contains("ranks 1 (node1), 2 (node2) have not reached") && Contains("rank 0 waits there"));
}

TEST_CASE("a late rank is named in host-side collectives too", "[cluster]") {
  const auto texts = messages_without({0}, 3, [](Communicator& group) { barrier(group, "the end of step 7"); });
  REQUIRE_THAT(texts[1], Contains("rank 0 (node0) has not reached the end of step 7"));
}

TEST_CASE("a late rank of a split group is named by its rank in the world", "[cluster]") {
  std::vector<std::string> texts;
  for (const auto& error : try_on_ranks(4, [](Communicator& group) {
         const auto half = group.split(group.rank() / 2, "halves");
         half->set_timeout(0.2);
         if (group.rank() != 3) barrier(*half, "a barrier");
       })) {
    texts.push_back(text_of(error));
  }
  REQUIRE_THAT(texts[2], Contains("rank 3 (node3) has not reached a barrier"));
}

TEST_CASE("a timeout set for a group holds for the groups split from it", "[cluster]") {
  const auto group = make_local_group(1);
  const auto part = group[0]->split(0, "all");
  group[0]->set_timeout(12.5);
  REQUIRE(part->timeout() == 12.5);
}

TEST_CASE("a slow rank is not late as long as pieces of its data arrive", "[cluster]") {
  SlowPeer transport;
  Exchange exchange(transport, Lane::stream, "a slow all_gather", 0.3);
  std::vector<char> data(5 * static_cast<size_t>(Exchange::default_piece_bytes));
  exchange.receive(1, data.data(), static_cast<int64_t>(data.size()));
  REQUIRE_NOTHROW(exchange.finish());
}

TEST_CASE("a rank that began and stopped is distinguished from one that never reached the collective", "[cluster]") {
  std::vector<std::string> texts;
  for (const auto& error : try_on_ranks(2, [](Communicator& group) {
         group.set_timeout(0.2);
         // Rank 1 says that it will send less: to rank 0 it looks as if the rest never came.
         std::vector<char> all(static_cast<size_t>(2 * 8 * Exchange::default_piece_bytes));
         group.all_gather_host(all.data(), all.data(), (group.rank() == 0 ? 2 : 1) * Exchange::default_piece_bytes,
                               "gather");
       })) {
    texts.push_back(text_of(error));
  }
  REQUIRE_THAT(texts[0], Contains("rank 1 (node1) has stopped in the middle of gather for 0.2 s"));
}

TEST_CASE("a rank whose data came but which takes nothing is named too", "[cluster]") {
  PeerThatTakesNothing transport;
  Exchange exchange(transport, Lane::stream, "a gather", 0.2);
  std::vector<char> data(100);
  for (const int peer : {1, 2}) {
    exchange.send(peer, data.data(), 100);
    exchange.receive(peer, data.data(), 100);
  }
  REQUIRE_THROWS_WITH(
      exchange.finish(),
      Contains("rank 1 (node1) has stopped in the middle of a gather for 0.2 s; ranks 0, 2 wait there"));
}

TEST_CASE("the time that a rank has waited is the sum of its looks", "[cluster]") {
  Waited::Clock::time_point now{};
  Waited waited(now);
  for (int look = 0; look < 1000; ++look) waited.look(now += std::chrono::milliseconds(2));
  REQUIRE(waited.total().count() == Approx(2.0));
}

TEST_CASE("the time in which a waiting rank stood still does not count as its waiting", "[cluster]") {
  Waited::Clock::time_point now{};
  Waited waited(now);
  waited.look(now += std::chrono::milliseconds(500));
  waited.look(now += std::chrono::minutes(6));
  waited.look(now += std::chrono::milliseconds(500));
  REQUIRE(waited.total().count() == Approx(2.0));
}

TEST_CASE("progress begins the waiting anew", "[cluster]") {
  Waited::Clock::time_point now{};
  Waited waited(now);
  waited.look(now += std::chrono::milliseconds(900));
  waited.progress(now += std::chrono::minutes(1));
  REQUIRE(waited.total().count() == 0);
  waited.look(now += std::chrono::milliseconds(2));
  REQUIRE(waited.total().count() == Approx(0.002));
}
