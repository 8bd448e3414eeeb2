#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cluster/communicator.h"

namespace tessera {

/// Rank 0 of a group that does not exist: its collectives send nothing, and what rank 0 would send is counted.
class CountingCommunicator final : public Communicator {
 public:
  explicit CountingCommunicator(int size) : size_(size) {}

  int rank() const override { return 0; }
  int size() const override { return size_; }
  std::vector<Peer> peers() const override { return std::vector<Peer>(static_cast<size_t>(size_)); }

  void all_gather(Stream&, const void*, void*, int64_t bytes, CollectiveName) override { sent_ += others() * bytes; }
  void reduce_scatter(Stream&, const float*, float*, int64_t count, CollectiveName) override {
    sent_ += others() * count * size_of(DType::f32);
  }
  /// A slice to every other rank, and the sums of its own slice.
  void all_reduce(Stream&, float*, int64_t count, CollectiveName) override {
    sent_ += 2 * others() * (count * size_of(DType::f32) / size_);
  }
  void broadcast(Stream&, void*, int64_t bytes, int, CollectiveName) override { sent_ += others() * bytes; }

  void all_gather_host(const void*, void*, int64_t, CollectiveName) override {}
  void broadcast_host(void*, int64_t, int, CollectiveName) override {}
  void barrier(CollectiveName) override {}

  std::unique_ptr<Communicator> split(int, const std::string&) override {
    return std::make_unique<CountingCommunicator>(size_);
  }
  double timeout() const override { return 0; }
  void set_timeout(double) override {}

  /// Bytes; as many are received.
  int64_t bytes_sent() const { return sent_; }

 private:
  int64_t others() const { return size_ - 1; }

  int size_;
  int64_t sent_ = 0;
};

}  // namespace tessera
