#include "cluster/start_up.h"

#include <fmt/format.h>

#include "cluster/last_words.h"
#include "cluster/launch.h"

namespace tessera {

std::string StartUpDeadline::message(const std::string& host) const {
  return fmt::format(
      "host {} has waited {} s during start-up, now for {}. Stopping. Check the other hosts (a rank may be suspended, "
      "or a firewall may block MPI), then run the job again. ([network] timeout_seconds, at least {}, limits the "
      "start-up.)",
      host, seconds_, what_, least_seconds);
}

StartUpWatch::StartUpWatch() : deadline_(Waited::Clock::now(), launched_rank()) {
  if (started_by_launcher()) thread_ = std::thread([this] { watch(); });
}

StartUpWatch::~StartUpWatch() {
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
  }
  ended_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void StartUpWatch::allow(double timeout_seconds) {
  const std::lock_guard lock(mutex_);
  deadline_.allow(timeout_seconds);
}

void StartUpWatch::waits_for(std::string what) {
  const std::lock_guard lock(mutex_);
  deadline_.waits_for(std::move(what));
}

void StartUpWatch::watch() {
  constexpr std::chrono::milliseconds pause(50);
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, pause, [this] { return end_; })) {
    deadline_.look(Waited::Clock::now());
    if (deadline_.is_over()) end_at_once(deadline_.message(this_host()));
  }
}

}  // namespace tessera
