#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cluster/communicator.h"
#include "cluster/transport.h"

namespace tessera {

class Exchange;

/// Up to this many bytes every rank of a sum sends everything to every other one: one message time instead of two.
constexpr int64_t small_sum_bytes = 64 << 10;

/// The collectives of CPU ranks, made of point-to-point messages between host memories.  Every rank sends directly to
/// every other one: a few hosts need no trees, and a late rank is known by name. MPI's own reductions are not used,
/// since they guarantee no order of the summands.
class MessageCommunicator final : public Communicator {
 public:
  explicit MessageCommunicator(std::unique_ptr<Transport> transport);

  int rank() const override { return transport_->rank(); }
  int size() const override { return transport_->size(); }
  std::vector<Peer> peers() const override { return transport_->peers(); }

  void all_gather(Stream& stream, const void* send, void* recv, int64_t bytes, CollectiveName name) override;
  void reduce_scatter(Stream& stream, const float* send, float* recv, int64_t count, CollectiveName name) override;
  void all_reduce(Stream& stream, float* data, int64_t count, CollectiveName name) override;

  void all_gather_host(const void* send, void* recv, int64_t bytes, CollectiveName name) override;
  void broadcast_host(void* data, int64_t bytes, int root, CollectiveName name) override;

  std::unique_ptr<Communicator> split(int color, const std::string& name) override;
  double timeout() const override { return *timeout_; }
  void set_timeout(double seconds) override { *timeout_ = seconds; }

 private:
  using Timeout = std::shared_ptr<std::atomic<double>>;
  MessageCommunicator(std::unique_ptr<Transport> transport, Timeout timeout);

  void enqueue(Stream& stream, std::function<void()> collective);
  Exchange begin(Lane lane, const CollectiveName& name) const;
  void gather(Lane lane, const void* send, void* recv, int64_t bytes, const CollectiveName& name) const;
  void reduce_small(float* data, int64_t count, const CollectiveName& name);
  void reduce_large(float* data, int64_t count, const CollectiveName& name);
  /// The other ranks, starting with the next one, so that not all send to the same rank first.
  std::vector<int> others() const;
  char* scratch(int64_t bytes);

  /// Slice p of every rank's data goes to rank p; store(begin, sums, n) gets the sums of this rank's slice, from first
  /// to last.  `bounds`: the size() + 1 ends of the slices, in elements.
  using Store = std::function<void(int64_t begin, const float* sums, int64_t n)>;
  void reduce_slices(Exchange& exchange, const float* data, const std::vector<int64_t>& bounds, const Store& store);

  std::unique_ptr<Transport> transport_;
  Timeout timeout_;
  std::mutex stream_in_use_;
  std::vector<char> scratch_;  // of the stream's collectives, kept between them
};

}  // namespace tessera
