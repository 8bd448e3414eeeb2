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

/// Around a call that may never come back once a job has failed: if it is not destroyed in time, the error is told and
/// the process ends, without any destructor, with ExitCode::cluster_failed.  mpirun ends the other ranks then.
class LastWords {
 public:
  LastWords(std::string error, std::chrono::duration<double> patience)
      : thread_([this, error = std::move(error), patience] {
          std::unique_lock lock(mutex_);
          if (returned_.wait_for(lock, patience, [this] { return done_; })) return;
          log::error("{}; giving up did not come to an end in {} s either", error, patience.count());
          std::_Exit(static_cast<int>(ExitCode::cluster_failed));
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
