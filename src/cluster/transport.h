#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cluster/peer.h"

namespace tessera {

/// Separates messages of stream collectives from those of host-side collectives.
enum class Lane { stream, control };

/// The messages of one collective while they are in flight.  Between two ranks of one lane they arrive in the order in
/// which they were sent, which is how a receive finds its message; sender and receiver agree on each one's size.
class Messages {
 public:
  /// Cancels what is still in flight, which happens only if the collective has failed.
  virtual ~Messages() = default;
  /// Starts a message and returns; the memory is in use until poll() has reported the ticket.
  virtual void send(int peer, const void* data, int64_t bytes, int64_t ticket) = 0;
  virtual void receive(int peer, void* data, int64_t bytes, int64_t ticket) = 0;
  /// Appends the tickets of completed messages. Never waits.
  virtual void poll(std::vector<int64_t>& finished) = 0;
};

/// Point-to-point messages among a group of ranks: what the collectives are made of.
class Transport {
 public:
  Transport(int rank, std::vector<Peer> peers) : rank_(rank), peers_(std::move(peers)) {}
  virtual ~Transport() = default;

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(peers_.size()); }
  const std::vector<Peer>& peers() const { return peers_; }

  virtual std::unique_ptr<Messages> open(Lane lane) = 0;
  /// A group of `members`, ranks of this group in ascending order, this rank among them.  All of them call it.
  virtual std::unique_ptr<Transport> subgroup(const std::vector<int>& members) = 0;

 private:
  int rank_;
  std::vector<Peer> peers_;
};

/// A group of one, which sends nothing: a process that mpirun did not start.
class LoneTransport final : public Transport {
 public:
  explicit LoneTransport(Peer self) : Transport(0, {std::move(self)}) {}
  std::unique_ptr<Messages> open(Lane lane) override;
  std::unique_ptr<Transport> subgroup(const std::vector<int>& members) override;
};

}  // namespace tessera
