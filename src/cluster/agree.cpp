#include "cluster/agree.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "cluster/last_words.h"

namespace tessera {
namespace {

/// What the ranks exchange.
struct Status {
  int32_t code = 0;       // an ExitCode
  int32_t elsewhere = 0;  // 1: an agreement inside the work failed, for another rank's error
  int32_t working = 0;    // 1: there is no outcome yet
};

struct Outcome {
  Status status;
  std::exception_ptr error;
};

Outcome run(const std::function<void()>& work) {
  try {
    work();
    return {};
  } catch (const FailedElsewhere& error) {
    return {{static_cast<int32_t>(error.code()), 1}, std::current_exception()};
  } catch (const Error& error) {
    return {{static_cast<int32_t>(error.code()), 0}, std::current_exception()};
  } catch (const std::filesystem::filesystem_error&) {
    return {{static_cast<int32_t>(ExitCode::bad_data), 0}, std::current_exception()};
  } catch (...) {
    return {{static_cast<int32_t>(ExitCode::cluster_failed), 0}, std::current_exception()};
  }
}

std::vector<Status> gather(Communicator& group, const std::string& name, const Status& own) {
  std::vector<Status> all(static_cast<size_t>(group.size()));
  group.all_gather_host(&own, all.data(), sizeof own, name);
  return all;
}

/// Runs beside the work of this rank: rounds of messages in which every rank says whether it still works, until none
/// does. A rank joins a round when its work is done, or after some time since the last round.
class Rounds {
 public:
  Rounds(Communicator& group, const std::string& name)
      : group_(group), name_("the heartbeat while " + name), thread_([this] { run(); }) {}
  Rounds(const Rounds&) = delete;
  Rounds& operator=(const Rounds&) = delete;

  /// Call it when the work is done. Returns every rank's outcome; throws if a rank did not join a round.
  std::vector<Status> finish(const Status& outcome) {
    {
      const std::lock_guard lock(mutex_);
      own_ = outcome;
    }
    done_.notify_all();
    thread_.join();
    if (error_) std::rethrow_exception(error_);
    return all_;
  }

 private:
  void run() {
    try {
      do {
        all_ = gather(group_, name_, next());
      } while (std::any_of(all_.begin(), all_.end(), [](const Status& s) { return s.working != 0; }));
    } catch (const std::exception& error) {
      const std::lock_guard lock(mutex_);
      if (own_.working != 0) end_at_once(error.what());  // the work may take hours, for nothing
      error_ = std::current_exception();
    }
  }

  /// This rank's status for the next round, when it is due.
  Status next() {
    const std::chrono::duration<double> pause(std::min(10.0, group_.timeout() / 4));
    std::unique_lock lock(mutex_);
    done_.wait_for(lock, pause, [this] { return own_.working == 0; });
    return own_;
  }

  Communicator& group_;
  std::string name_;
  std::mutex mutex_;
  std::condition_variable done_;
  Status own_{0, 0, 1};
  std::vector<Status> all_;
  std::exception_ptr error_;
  std::thread thread_;  // last: it uses the others
};

/// Runs the work.  Its outcome here, and on every rank.
std::pair<Outcome, std::vector<Status>> run_together(Communicator& group, const std::string& name,
                                                     const std::function<void()>& work, Patience patience) {
  if (patience == Patience::timeout || group.size() == 1 || group.timeout() <= 0) {
    Outcome own = run(work);
    return {own, gather(group, name, own.status)};
  }
  Rounds rounds(group, name);
  Outcome own = run(work);
  return {own, rounds.finish(own.status)};
}

}  // namespace

void agree(Communicator& group, const std::string& name, const std::function<void()>& work, Patience patience) {
  const auto [own, all] = run_together(group, name, work, patience);
  const auto has_error = [](const Status& s) { return s.code != 0 && s.elsewhere == 0; };
  const auto failed = [](const Status& s) { return s.code != 0; };
  auto speaker = std::find_if(all.begin(), all.end(), has_error);
  if (speaker == all.end()) speaker = std::find_if(all.begin(), all.end(), failed);
  if (speaker == all.end()) return;
  if (speaker - all.begin() == group.rank()) std::rethrow_exception(own.error);
  throw FailedElsewhere(static_cast<ExitCode>(speaker->code));
}

bool any_rank(Communicator& group, const std::string& name, bool here) {
  const char own = here ? 1 : 0;
  std::vector<char> all(static_cast<size_t>(group.size()));
  group.all_gather_host(&own, all.data(), 1, name);
  return std::find(all.begin(), all.end(), 1) != all.end();
}

}  // namespace tessera
