#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace tessera {

/// Prints the error and ends the process at once, without destructors: for a thread without a caller to throw to.
/// mpirun then ends the other ranks.
[[noreturn]] inline void end_at_once(const std::string& error) {
  log::error("{}", error);
  std::_Exit(static_cast<int>(ExitCode::cluster_failed));
}

/// Guards a call that may never return once a job has failed: if it is not destroyed in time, the error is printed and
/// the process ends at once with ExitCode::cluster_failed.
class LastWords {
 public:
  LastWords(std::string error, std::chrono::duration<double> patience)
      : thread_([this, error = std::move(error), patience] {
          std::unique_lock lock(mutex_);
          if (returned_.wait_for(lock, patience, [this] { return done_; })) return;
          end_at_once(fmt::format("{}; the abort did not finish within {} s either", error, patience.count()));
        }) {}
  ~LastWords() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    returned_.notify_all();
    thread_.join();
  }
  LastWords(const LastWords&) = delete;
  LastWords& operator=(const LastWords&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable returned_;
  bool done_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace tessera
