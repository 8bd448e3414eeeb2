#include <array>
#include <atomic>
#include <csignal>

#include "base/error.h"
#include "cluster/cluster.h"

namespace tessera::signals {
namespace {

std::atomic<int> first_signal = 0;
std::atomic<int> interrupts = 0;
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may touch nothing else");

constexpr std::array<int, 3> all = {SIGINT, SIGTERM, SIGUSR1};

void mask(int how) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : all) sigaddset(&set, signal);
  sigprocmask(how, &set, nullptr);
}

/// Only what a signal handler may do: two flags, and the default action for a second SIGINT.
void remember(int signal) {
  int none = 0;
  first_signal.compare_exchange_strong(none, signal);
  if (signal == SIGINT && ++interrupts == 2) {
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);  // delivered when the handler returns
  }
}

}  // namespace

void hold() { mask(SIG_BLOCK); }
void release() { mask(SIG_UNBLOCK); }

void install() {
  struct sigaction action = {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART;  // reads and writes go on
  sigemptyset(&action.sa_mask);
  for (const int signal : all) {
    if (sigaction(signal, &action, nullptr) != 0) throw ClusterError("sigaction: the system refuses signal {}", signal);
  }
}

bool stop_requested() { return first_signal != 0; }

std::string stop_reason() {
  switch (first_signal) {
    case SIGINT:
      return "SIGINT";
    case SIGTERM:
      return "SIGTERM";
    case SIGUSR1:
      return "SIGUSR1";
    default:
      return "";
  }
}

}  // namespace tessera::signals
