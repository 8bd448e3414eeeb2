#pragma once
#include <algorithm>
#include <chrono>

namespace tessera {

/// How long a rank has waited without progress, counting only time in which it was running itself. It looks every few
/// milliseconds, so a long gap between two looks means that it was suspended, and the ranks that it waits for may have
/// been too: a suspended machine, or one that swaps. Such a gap counts as one second.
class Waited {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds longest_gap{1};

  explicit Waited(Clock::time_point now) : last_look_(now) {}
  void progress(Clock::time_point now) { *this = Waited(now); }
  void look(Clock::time_point now) {
    total_ += std::min<Clock::duration>(now - last_look_, longest_gap);
    last_look_ = now;
  }
  std::chrono::duration<double> total() const { return total_; }

 private:
  Clock::time_point last_look_;
  Clock::duration total_{0};
};

/// The timeouts of waiting ranks expire together. A rank lets lower ranks report first and waits for as long as they
/// need to end the job, so that there is one message: mpirun takes four seconds until SIGKILL.
inline double turn_to_speak(double timeout_seconds, int rank) {
  return std::min(5.0, timeout_seconds) * std::min(rank, 10);
}

}  // namespace tessera
