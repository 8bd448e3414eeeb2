#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "device/device.h"

namespace tessera {

/// Phases of a step. forward, backward and optimizer follow one another on the compute stream; wait is the part of them
/// in which the stream waited for communication; gather, reduce and copy (between host and device, with shard.offload,
/// where the optimizer has its own stream too) overlap with them; the last four divide the compute stream's kernels in
/// another way.
enum class Phase {
  gather,
  reduce,
  copy,
  forward,
  backward,
  optimizer,
  wait,
  gemm,
  attention,
  loss,
  elementwise,
  count
};

constexpr std::string_view name_of(Phase phase) {
  constexpr std::array<std::string_view, 11> names = {"gather",    "reduce",    "copy",       "forward",
                                                      "backward",  "optimizer", "wait",       "gemm",
                                                      "attention", "loss",      "elementwise"};
  return names[static_cast<size_t>(phase)];
}

/// Times stretches of streams, by points recorded in them.  A phase begins and ends on one stream, and has ended before
/// it begins again.
class Profiler {
 public:
  explicit Profiler(Device& device);

  /// `name`: of this stretch, for the trace; empty: the phase's name.
  void begin(Stream& stream, Phase phase, std::string_view name = {});
  void end(Stream& stream, Phase phase);

  /// Reads the times of all stretches so far; the streams that they lie on have been synchronised.
  void collect(Stream& stream);
  double seconds(Phase phase) const { return seconds_[static_cast<size_t>(phase)]; }

  /// A stretch as the trace shows it; times in seconds of the host's steady clock.
  struct Stretch {
    std::string name;
    std::string stream;
    double begin, seconds;
  };
  /// From here on stretches are kept, until they are taken.
  void keep_stretches() { kept_wanted_ = true; }
  std::vector<Stretch> take_stretches() { return std::exchange(kept_, {}); }

 private:
  struct Open {
    Phase phase;
    std::string name;
    std::string stream;
    std::unique_ptr<Timestamp> begin, end;
  };
  std::unique_ptr<Timestamp> take_timestamp();
  void set_origin(Stream& stream);
  /// Close to what is recorded next, as the clocks of GPUs tell long times less finely. By the device's own clock:
  /// reading the host's clock again would shift later times by any delay of this thread.
  void move_origin(std::unique_ptr<Timestamp> to);

  Device& device_;
  std::array<double, static_cast<size_t>(Phase::count)> seconds_{};
  std::array<size_t, static_cast<size_t>(Phase::count)> last_{};  // where in open_ a phase began last
  std::vector<Open> open_;
  std::vector<std::unique_ptr<Timestamp>> spare_;
  std::unique_ptr<Timestamp> origin_;  // origin of the spans' times; null until the first collect
  double origin_seconds_ = 0;          // by the host's clock
  bool kept_wanted_ = false;
  std::vector<Stretch> kept_;
};

}  // namespace tessera
