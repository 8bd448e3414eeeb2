#pragma once
#include <array>
#include <functional>
#include <memory>

#include "device/profiler.h"
#include "shard/state.h"

namespace tessera {

/// shard.offload: the state lies in host memory and the CPU works on it, on a stream of its own; copies between host
/// and device run on another one, beside compute and communication.  After ZeRO-Offload (Ren et al. 2021).
class HostUpdate {
 public:
  /// `threads`: of the CPU's kernels.
  HostUpdate(Device& device, const ShardLayout& layout, const ShardState& state, Profiler& profiler, int threads);

  Stream& stream() { return *stream_; }      ///< the CPU's work
  Stream& transfer() { return *transfer_; }  ///< copies in both directions

  /// Runs work(kernels, their stream) of the CPU in the order of stream(), with memory of the host.  What it touches
  /// stays alive until stream() has passed.
  using Work = std::function<void(Kernels& kernels, Stream& stream)>;
  void run(Work work);
  /// stream() goes on from here only after what was enqueued on `other` so far.
  void follow(Stream& other);

  /// Enqueues make() for the whole shard in pieces, bucket by bucket, and copies what it made to the device where the
  /// weights lie there.  made(bucket, stream): its weights are in place when `stream` gets here.
  void make_weights(const MakeWeights& make, const std::function<void(size_t bucket, Stream& stream)>& made);

 private:
  /// Host memory for weights on their way to the device.
  struct Slot {
    Buffer buffer;
    std::unique_ptr<Event> filled, sent;
  };

  void make_piece(const MakeWeights& make, int64_t begin, int64_t n);
  void send(Slot& slot, View made, int64_t begin);

  const ShardLayout& layout_;
  const ShardState& state_;
  Profiler& profiler_;
  std::unique_ptr<Device> cpu_;
  std::unique_ptr<Kernels> kernels_;
  std::unique_ptr<Stream> kernel_stream_;
  std::unique_ptr<Stream> stream_, transfer_;
  std::unique_ptr<Event> followed_;
  std::array<Slot, 2> slots_;
  size_t next_slot_ = 0;
};

/// Elements that HostUpdate makes and sends at a time: large enough for the bus, small enough to overlap.
constexpr int64_t host_update_piece = 1 << 20;

}  // namespace tessera
