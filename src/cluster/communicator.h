#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cluster/peer.h"
#include "device/device.h"

namespace tessera {

/// A collective's name for error messages: "all_gather(layer 12) of step 481".
using CollectiveName = std::string;

/// Collectives among a group of ranks, on a stream: every rank of the group enqueues the same calls in the same order.
/// Sums are made in the order of ranks, so that every run of the same ranks gives the same bits.  If a rank is late by
/// more than the timeout, a ClusterError names that rank, its host, the collective, and the waiting ranks.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual std::vector<Peer> peers() const = 0;  ///< its ranks, for error messages

  /// One stream at a time; the host-side collectives below have messages of their own and may run beside it.
  /// recv[r * bytes, (r+1) * bytes) = rank r's send.  send may be the rank's own place in recv.
  virtual void all_gather(Stream& stream, const void* send, void* recv, int64_t bytes, CollectiveName name) = 0;
  /// recv[i] = Σ_r (rank r's send)[rank() * count + i], i < count.  send: size() * count floats, which does not contain
  /// recv; may be overwritten once the stream has passed.  fp32 sums in rank order.
  virtual void reduce_scatter(Stream& stream, const float* send, float* recv, int64_t count, CollectiveName name) = 0;
  /// data[i] = Σ_r (rank r's data)[i], the same bits on every rank.
  virtual void all_reduce(Stream& stream, float* data, int64_t count, CollectiveName name) = 0;

  /// Host-side and blocking, one at a time, for small control messages: the concatenation in rank order; `bytes` from
  /// every rank.
  virtual void all_gather_host(const void* send, void* recv, int64_t bytes, CollectiveName name) = 0;
  virtual void broadcast_host(void* data, int64_t bytes, int root, CollectiveName name) = 0;

  /// The ranks of this group with the same color, ordered by rank.
  virtual std::unique_ptr<Communicator> split(int color, const std::string& name) = 0;

  /// How long a rank may be late, without any byte from it, before a collective throws; 0: no limit.  Holds for this
  /// rank's side of this group and of the groups split from it.
  virtual double timeout() const = 0;
  virtual void set_timeout(double seconds) = 0;
};

}  // namespace tessera
