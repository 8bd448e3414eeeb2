#pragma once

namespace tessera {

/// Call it first in main(). By default libgomp's threads spin for some milliseconds between two parallel loops: on a
/// busy host each loop then waits for a thread whose core a spinning one occupies. With this setting they spin for
/// microseconds and sleep. libgomp reads its settings while it is loaded, so the program is executed again in the same
/// process, with GOMP_SPINCOUNT in the environment. Returns if the environment already has that variable or
/// OMP_WAIT_POLICY, or if the program cannot be executed again.
void let_waiting_threads_sleep(char** argv);

}  // namespace tessera
