#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cluster/transport.h"

namespace tessera {

/// One collective while it runs: flows of bytes from and to the other ranks of a group, each cut into pieces of which a
/// few are in flight at a time.  That bounds the memory, lets counts fit MPI's ints, and shows a slow peer's progress.
///
/// It waits by polling with growing sleeps. A blocking MPI call would poll without pause and take the core from the
/// compute threads.
class Exchange {
 public:
  /// `name` for error messages; `timeout_seconds` of its own running time without any progress are a ClusterError, 0:
  /// no limit.
  Exchange(Transport& transport, Lane lane, std::string name, double timeout_seconds);

  static constexpr int64_t default_piece_bytes = 1 << 20;

  /// Both ends of a flow name the same size and the same piece.  One flow to a peer and one from it at a time: a
  /// further one is added after finish().
  void send(int peer, const void* data, int64_t bytes, int64_t piece_bytes = default_piece_bytes);
  void receive(int peer, void* data, int64_t bytes);

  /// A flow that arrives in a ring of `slots` pieces: each is read with wait_piece(), in order, and then given back.
  /// Returns the flow's number.
  int receive_in_ring(int peer, void* ring, int slots, int64_t bytes, int64_t piece_bytes);
  const void* wait_piece(int flow, int64_t piece);
  void release_piece(int flow);

  /// Starts what may be in flight, without waiting.
  void start();
  /// Returns when every flow so far is through.
  void finish();

 private:
  enum class Direction { out, in };
  struct Flow {
    Direction direction;
    int peer;
    char* data;
    int64_t bytes;
    int64_t piece_bytes;
    int64_t slots;  // pieces that may be in flight
    bool ring;      // piece k lies in slot k % slots, not at its place in the whole
    int64_t pieces;
    int64_t posted = 0;
    int64_t arrived = 0;   // pieces 0 … arrived-1 are through
    int64_t released = 0;  // and their slots may be used again
    std::vector<bool> through = std::vector<bool>(static_cast<size_t>(slots), false);
  };

  int add(Flow flow);
  void post(int index);
  void mark_through(int64_t ticket);
  void wait_until(const std::function<bool()>& done);
  void check_timeout(std::chrono::duration<double> waited) const;
  [[noreturn]] void throw_late() const;

  Transport& transport_;
  std::unique_ptr<Messages> messages_;
  std::string name_;
  double timeout_seconds_;
  std::vector<Flow> flows_;
  std::vector<int64_t> finished_;
};

}  // namespace tessera
