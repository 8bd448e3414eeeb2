#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string_view>

#include "device/device.h"

namespace tessera {

/// What the time of a step goes to.  forward, backward and optimizer lie one after the other on the compute stream,
/// wait is the part of them in which it stood still for communication; gather and reduce run beside them; the last four
/// split the compute stream's kernels another way.
enum class Phase { gather, reduce, forward, backward, optimizer, wait, gemm, attention, loss, elementwise, count };

constexpr std::string_view name_of(Phase phase) {
  constexpr std::array<std::string_view, 10> names = {"gather", "reduce", "forward",   "backward", "optimizer",
                                                      "wait",   "gemm",   "attention", "loss",     "elementwise"};
  return names[static_cast<size_t>(phase)];
}

/// Adds up what stretches of a host-driven stream take.  A phase begins and ends on one stream.
class Profiler {
 public:
  void begin(Stream& stream, Phase phase) {
    stream.enqueue([this, phase] { started_[index(phase)] = now(); });
  }
  void end(Stream& stream, Phase phase) {
    stream.enqueue([this, phase] { nanoseconds_[index(phase)] += now() - started_[index(phase)]; });
  }
  double seconds(Phase phase) const { return 1e-9 * static_cast<double>(nanoseconds_[index(phase)]); }

 private:
  static size_t index(Phase phase) { return static_cast<size_t>(phase); }
  static int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

  std::array<std::atomic<int64_t>, static_cast<size_t>(Phase::count)> nanoseconds_{};
  std::array<int64_t, static_cast<size_t>(Phase::count)> started_{};
};

}  // namespace tessera
