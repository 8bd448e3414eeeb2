#pragma once
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "cluster/waited.h"

namespace tessera {

/// How long the start of a job may take: from main to where every rank has come through MPI_Init.  The collectives have
/// a watch of their own (exchange.h); this is the one before there are any.
class StartUpDeadline {
 public:
  using Clock = Waited::Clock;
  static constexpr double least_seconds = 60;  ///< network.timeout_seconds may be less: MPI takes time to connect hosts
  static constexpr double seconds_while_unknown = 300;  ///< while the job is not read yet: what the key is by default

  /// `rank`: ranks whose time runs out together speak one after the other (waited.h).
  StartUpDeadline(Clock::time_point now, int rank) : waited_(now), rank_(rank) {}

  /// network.timeout_seconds, as soon as it is known.
  void allow(double timeout_seconds) { seconds_ = std::max(least_seconds, timeout_seconds); }
  void waits_for(std::string what) { what_ = std::move(what); }

  /// To be called every few milliseconds: time in which this process stood still does not count.
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

/// Keeps the deadline on a thread of its own while it lives: when it is over, the error is told and the process ends
/// with ExitCode::cluster_failed, since whatever it waits for cannot be interrupted.  Does nothing where no launcher
/// started the process: then there is nobody to wait for.
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
