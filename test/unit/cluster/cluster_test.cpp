#include "cluster/cluster.h"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>

#include "base/error.h"

using namespace tessera;

namespace {

/// How a child process that runs `work` ends, as waitpid tells it.
template <typename F>
int status_of_child(F&& work) {
  const pid_t child = fork();
  if (child == 0) {
    work();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

int exit_code_of_child(const std::function<int()>& work) {
  const int status = status_of_child([&] { _exit(work()); });
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("without mpirun there is one rank, and messages have no prefix", "[cluster]") {
  Cluster cluster(nullptr, nullptr);
  REQUIRE(cluster.rank() == 0);
  REQUIRE(cluster.size() == 1);
  REQUIRE(cluster.local_size() == 1);
  REQUIRE(cluster.hosts() == std::vector<std::string>{cluster.host()});
  REQUIRE(cluster.prefix().empty());
}

TEST_CASE("the timeout of the job reaches the world's collectives", "[cluster]") {
  ClusterSettings settings;
  settings.timeout_seconds = 17;
  Cluster cluster(nullptr, nullptr, settings);
  REQUIRE(cluster.world().timeout() == 17);
}

TEST_CASE("a network interface that the host does not have is an error of the job", "[cluster]") {
  ClusterSettings settings;
  settings.interface = "no-such-interface0";
  REQUIRE_THROWS_AS(Cluster(nullptr, nullptr, settings), JobError);
}

TEST_CASE("abort ends the process with the exit code it was given", "[cluster]") {
  for (const int code : {2, 3, 4, 75}) {
    REQUIRE(exit_code_of_child([code]() -> int {
              Cluster cluster(nullptr, nullptr);
              cluster.abort(code);
            }) == code);
  }
}

TEST_CASE("SIGINT, SIGTERM and SIGUSR1 ask for a stop and say which of them it was", "[cluster]") {
  const std::vector<std::pair<int, std::string>> all = {{SIGINT, "SIGINT"}, {SIGTERM, "SIGTERM"}, {SIGUSR1, "SIGUSR1"}};
  for (const auto& [signal, name] : all) {
    REQUIRE(exit_code_of_child([signal = signal, name = name] {
              signals::install();
              if (signals::stop_requested() || !signals::stop_reason().empty()) return 1;
              raise(signal);
              return signals::stop_requested() && signals::stop_reason() == name ? 0 : 2;
            }) == 0);
  }
}

TEST_CASE("the first signal is the reason, and SIGTERM after SIGTERM does not end the process", "[cluster]") {
  REQUIRE(exit_code_of_child([] {
            signals::install();
            raise(SIGUSR1);
            raise(SIGTERM);
            raise(SIGTERM);
            raise(SIGINT);
            return signals::stop_reason() == "SIGUSR1" ? 0 : 1;
          }) == 0);
}

TEST_CASE("a second SIGINT ends the process at once", "[cluster]") {
  const int status = status_of_child([] {
    signals::install();
    raise(SIGINT);
    raise(SIGINT);
  });
  REQUIRE(WIFSIGNALED(status));
  REQUIRE(WTERMSIG(status) == SIGINT);
}

TEST_CASE("a signal that arrives while signals are blocked is handled once there is a handler", "[cluster]") {
  REQUIRE(exit_code_of_child([] {
            signals::hold();
            raise(SIGTERM);
            signals::install();
            if (signals::stop_requested()) return 1;
            signals::release();
            return signals::stop_reason() == "SIGTERM" ? 0 : 2;
          }) == 0);
}

TEST_CASE("a signal that was held ends a process without a handler when it is released", "[cluster]") {
  const int status = status_of_child([] {
    signals::hold();
    raise(SIGUSR1);
    signals::release();
  });
  REQUIRE(WIFSIGNALED(status));
  REQUIRE(WTERMSIG(status) == SIGUSR1);
}
