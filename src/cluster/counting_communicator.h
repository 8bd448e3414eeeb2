#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cluster/message_communicator.h"

namespace tessera {

/// How the bytes of a collective travel.
enum class Route {
  direct,  ///< from every rank to every other one, as MessageCommunicator sends them
  ring     ///< around a ring that enters and leaves each host once, as NCCL sends large messages
};

/// Bytes that a rank sends, by link.  It receives as many.
struct SentBytes {
  int64_t inside_host = 0, between_hosts = 0;

  SentBytes operator+(const SentBytes& b) const {
    return {inside_host + b.inside_host, between_hosts + b.between_hosts};
  }
  SentBytes operator-(const SentBytes& b) const {
    return {inside_host - b.inside_host, between_hosts - b.between_hosts};
  }
  SentBytes operator*(int64_t times) const { return {inside_host * times, between_hosts * times}; }
};

/// Rank 0 of a group that does not exist: its collectives send nothing, and what a real group's would send is counted.
class CountingCommunicator final : public Communicator {
 public:
  /// The group has `ranks`, and `per_host` of them on each of its hosts.
  CountingCommunicator(int ranks, int per_host, Route route = Route::direct)
      : ranks_(ranks), per_host_(per_host), route_(route) {}

  int rank() const override { return 0; }
  int size() const override { return ranks_; }
  std::vector<Peer> peers() const override { return std::vector<Peer>(static_cast<size_t>(ranks_)); }

  void all_gather(Stream&, const void*, void*, int64_t bytes, CollectiveName) override { slice_to_all_ += bytes; }
  void reduce_scatter(Stream&, const float*, float*, int64_t count, CollectiveName) override {
    slice_to_all_ += count * size_of(DType::f32);
  }
  void all_reduce(Stream&, float*, int64_t count, CollectiveName) override {
    const int64_t bytes = count * size_of(DType::f32);
    const bool whole = route_ == Route::direct && bytes <= small_sum_bytes;
    slice_to_all_ += whole ? bytes : 2 * bytes / ranks_;  // slices are summed, and their sums gathered
  }

  void all_gather_host(const void*, void*, int64_t, CollectiveName) override {}
  void broadcast_host(void*, int64_t, int, CollectiveName) override {}

  std::unique_ptr<Communicator> split(int, const std::string&) override {
    return std::make_unique<CountingCommunicator>(ranks_, per_host_, route_);
  }
  double timeout() const override { return 0; }
  void set_timeout(double) override {}

  /// On average over the ranks of a host.
  SentBytes sent() const {
    const int64_t others = slice_to_all_ * (ranks_ - 1);
    if (route_ == Route::direct) return {slice_to_all_ * (per_host_ - 1), slice_to_all_ * (ranks_ - per_host_)};
    const int64_t leave_the_host = ranks_ > per_host_ ? others / per_host_ : 0;
    return {others - leave_the_host, leave_the_host};
  }

 private:
  const int ranks_, per_host_;
  const Route route_;
  int64_t slice_to_all_ = 0;  ///< bytes of which each other rank gets one, or sends one on
};

}  // namespace tessera
