#pragma once
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "cluster/waited.h"

namespace tessera {

/// Limits the start-up of a job: from main until every rank has returned from MPI_Init. Collectives have their own
/// timeout (exchange.h).
class StartUpDeadline {
 public:
  using Clock = Waited::Clock;
  static constexpr double least_seconds = 60;           ///< the minimum, since MPI takes time to connect hosts
  static constexpr double seconds_while_unknown = 300;  ///< before the job is read: the key's default

  /// `rank`: ranks whose time runs out together report one after the other (waited.h).
  StartUpDeadline(Clock::time_point now, int rank) : waited_(now), rank_(rank) {}

  /// network.timeout_seconds, as soon as it is known.
  void allow(double timeout_seconds) { seconds_ = std::max(least_seconds, timeout_seconds); }
  void waits_for(std::string what) { what_ = std::move(what); }

  /// Call it every few milliseconds: time in which this process was suspended does not count.
  void look(Clock::time_point now) { waited_.look(now); }
  bool is_over() const { return waited_.total().count() >= seconds_ + turn_to_speak(seconds_, rank_); }
  /// "the start of the job has taken 60 s, …".
  std::string message(const std::string& host) const;

 private:
  Waited waited_;
  int rank_;
  double seconds_ = seconds_while_unknown;
  std::string what_ = "the job file";
};

/// Keeps the deadline on a thread of its own while it lives: when it expires, the error is printed and the process ends
/// with ExitCode::cluster_failed, since what it waits for cannot be interrupted. Does nothing without a launcher, since
/// then there are no other ranks.
class StartUpWatch {
 public:
  StartUpWatch();
  ~StartUpWatch();  ///< the start is over
  StartUpWatch(const StartUpWatch&) = delete;
  StartUpWatch& operator=(const StartUpWatch&) = delete;

  void allow(double timeout_seconds);
  void waits_for(std::string what);

 private:
  void watch();

  std::mutex mutex_;
  std::condition_variable ended_;
  bool end_ = false;
  StartUpDeadline deadline_;
  std::thread thread_;  // last: it uses the others
};

}  // namespace tessera
