#pragma once
#include <atomic>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cluster/message_communicator.h"
#include "cluster/transport.h"

/// Ranks that are threads of one process: the program's own collectives over messages in memory.  So a thread sanitizer
/// sees what the ranks' streams do, and no MPI is needed.
namespace tessera::test {

/// Where the ranks of one group leave messages for each other.
struct LocalHub {
  using Message = std::vector<char>;
  std::shared_ptr<std::atomic<int64_t>> bytes_on_streams;  // that were sent, in subgroups too; null: not counted
  std::mutex mutex;
  std::map<std::pair<int, int>, std::deque<Message>> queues[2];                     // a lane; from, to
  std::map<std::pair<int, std::vector<int>>, std::shared_ptr<LocalHub>> subgroups;  // the how-many-eth split; members
};

class LocalMessages final : public Messages {
 public:
  LocalMessages(LocalHub& hub, Lane lane, int rank) : hub_(hub), lane_(static_cast<int>(lane)), rank_(rank) {}

  void send(int peer, const void* data, int64_t bytes, int64_t ticket) override {
    const auto* begin = static_cast<const char*>(data);
    LocalHub::Message message(begin, begin + bytes);
    if (hub_.bytes_on_streams && lane_ == static_cast<int>(Lane::stream)) *hub_.bytes_on_streams += bytes;
    const std::lock_guard lock(hub_.mutex);
    hub_.queues[lane_][{rank_, peer}].push_back(std::move(message));
    sent_.push_back(ticket);
  }

  void receive(int peer, void* data, int64_t bytes, int64_t ticket) override {
    wanted_.push_back({peer, data, bytes, ticket});
  }

  void poll(std::vector<int64_t>& finished) override {
    finished.insert(finished.end(), sent_.begin(), sent_.end());
    sent_.clear();
    std::vector<Wanted> still;
    // One lock for all: a message that comes meanwhile must not pass by the receive that was first to find none.
    const std::lock_guard lock(hub_.mutex);
    for (const Wanted& wanted : wanted_) {
      LocalHub::Message message;
      if (take(wanted.peer, message)) {
        deliver(message, wanted);
        finished.push_back(wanted.ticket);
      } else {
        still.push_back(wanted);
      }
    }
    wanted_ = std::move(still);
  }

 private:
  struct Wanted {
    int peer;
    void* data;
    int64_t bytes;
    int64_t ticket;
  };

  bool take(int peer, LocalHub::Message& message) {
    auto& queue = hub_.queues[lane_][{peer, rank_}];
    if (queue.empty()) return false;
    message = std::move(queue.front());
    queue.pop_front();
    return true;
  }

  static void deliver(const LocalHub::Message& message, const Wanted& wanted) {
    if (static_cast<int64_t>(message.size()) != wanted.bytes) {
      throw std::logic_error("the ranks are in different collectives: a message has not the expected size");
    }
    std::memcpy(wanted.data, message.data(), message.size());
  }

  LocalHub& hub_;
  int lane_;
  int rank_;
  std::vector<int64_t> sent_;
  std::vector<Wanted> wanted_;
};

class LocalTransport final : public Transport {
 public:
  LocalTransport(std::shared_ptr<LocalHub> hub, int rank, std::vector<Peer> peers)
      : Transport(rank, std::move(peers)), hub_(std::move(hub)) {}

  std::unique_ptr<Messages> open(Lane lane) override { return std::make_unique<LocalMessages>(*hub_, lane, rank()); }

  std::unique_ptr<Transport> subgroup(const std::vector<int>& members) override {
    std::vector<Peer> chosen;
    int own = 0;
    for (const int member : members) {
      if (member == rank()) own = static_cast<int>(chosen.size());
      chosen.push_back(peers()[static_cast<size_t>(member)]);
    }
    const std::lock_guard lock(hub_->mutex);
    auto& hub = hub_->subgroups[{splits_++, members}];
    if (!hub) {
      hub = std::make_shared<LocalHub>();
      hub->bytes_on_streams = hub_->bytes_on_streams;
    }
    return std::make_unique<LocalTransport>(hub, own, std::move(chosen));
  }

 private:
  std::shared_ptr<LocalHub> hub_;
  int splits_ = 0;
};

using SharedCount = std::shared_ptr<std::atomic<int64_t>>;

/// One communicator a rank; rank r says that it runs on host "node<r>".  `bytes_on_streams`: as LocalHub's.
inline std::vector<std::unique_ptr<Communicator>> make_local_group(int ranks, SharedCount bytes_on_streams = nullptr) {
  std::vector<Peer> peers;
  for (int r = 0; r < ranks; ++r) peers.push_back({r, "node" + std::to_string(r)});
  auto hub = std::make_shared<LocalHub>();
  hub->bytes_on_streams = std::move(bytes_on_streams);
  std::vector<std::unique_ptr<Communicator>> group;
  for (int r = 0; r < ranks; ++r) {
    group.push_back(std::make_unique<MessageCommunicator>(std::make_unique<LocalTransport>(hub, r, peers)));
    group.back()->set_timeout(60);
  }
  return group;
}

/// Runs `work` as each rank of a local group, on a thread of its own, and returns what each rank threw (null: nothing).
/// Catch2's assertions belong to the calling thread: `work` collects, the test checks afterwards.
inline std::vector<std::exception_ptr> try_on_ranks(int ranks, const std::function<void(Communicator&)>& work,
                                                    SharedCount bytes_on_streams = nullptr) {
  const auto group = make_local_group(ranks, std::move(bytes_on_streams));
  std::vector<std::exception_ptr> errors(group.size());
  std::vector<std::thread> threads;
  for (size_t r = 0; r < group.size(); ++r) {
    threads.emplace_back([&, r] {
      try {
        work(*group[r]);
      } catch (...) {
        errors[r] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return errors;
}

/// The same for work that does not fail; throws the lowest rank's error where it does.
inline void run_on_ranks(int ranks, const std::function<void(Communicator&)>& work) {
  for (const std::exception_ptr& error : try_on_ranks(ranks, work)) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace tessera::test
