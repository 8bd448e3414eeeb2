#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cluster/communicator.h"

namespace tessera {

/// Rank 0 of a group that does not exist: its collectives send nothing, and what MessageCommunicator would send is
/// counted.  It receives as much.
class CountingCommunicator final : public Communicator {
 public:
  /// The other ranks of the group: on this rank's host, and on other hosts.
  CountingCommunicator(int inside, int outside) : inside_(inside), outside_(outside) {}

  int rank() const override { return 0; }
  int size() const override { return 1 + inside_ + outside_; }
  std::vector<Peer> peers() const override { return std::vector<Peer>(static_cast<size_t>(size())); }

  void all_gather(Stream&, const void*, void*, int64_t bytes, CollectiveName) override { send_to_each(bytes); }
  void reduce_scatter(Stream&, const float*, float*, int64_t count, CollectiveName) override {
    send_to_each(count * size_of(DType::f32));
  }
  /// To each its slice, and the sums of the own one.
  void all_reduce(Stream&, float*, int64_t count, CollectiveName) override {
    send_to_each(2 * (count * size_of(DType::f32) / size()));
  }
  void broadcast(Stream&, void*, int64_t bytes, int, CollectiveName) override { send_to_each(bytes); }

  void all_gather_host(const void*, void*, int64_t, CollectiveName) override {}
  void broadcast_host(void*, int64_t, int, CollectiveName) override {}
  void barrier(CollectiveName) override {}

  std::unique_ptr<Communicator> split(int, const std::string&) override {
    return std::make_unique<CountingCommunicator>(inside_, outside_);
  }
  double timeout() const override { return 0; }
  void set_timeout(double) override {}

  /// Bytes that the rank has sent to ranks of its host, and to others.
  int64_t sent_inside() const { return sent_to_one_ * inside_; }
  int64_t sent_outside() const { return sent_to_one_ * outside_; }

 private:
  void send_to_each(int64_t bytes) { sent_to_one_ += bytes; }

  int inside_, outside_;
  int64_t sent_to_one_ = 0;
};

}  // namespace tessera
