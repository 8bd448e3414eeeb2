#pragma once

namespace tessera {

/// To be called first in main().  OpenMP's threads spin between two parallel loops, for some milliseconds as libgomp
/// comes: on a host where anything else wants a core, each loop then waits for a thread whose place a spinning one
/// holds. Here they spin for microseconds and sleep.  libgomp reads its settings while it is loaded, so the program is
/// started again in the same process, with GOMP_SPINCOUNT in the environment.  Returns where the environment has that
/// already, or OMP_WAIT_POLICY, or where the program cannot be started again.
void let_waiting_threads_sleep(char** argv);

}  // namespace tessera
