#pragma once
#include <set>
#include <string>

/// Which of the host's CPUs a rank runs on.
namespace tessera {

/// Numbers of CPUs, as the kernel counts them.
using CpuSet = std::set<int>;

/// "0-3,8" as /sys and taskset write it.  Anything else is the empty set.
CpuSet parse_cpu_list(const std::string& text);
std::string cpu_list_text(const CpuSet& cpus);

/// Those that the calling thread may run on.
CpuSet allowed_cpus();

/// Does the set lie inside one core?  `siblings`: the CPUs of the core that a CPU belongs to.
template <typename Siblings>
bool is_one_core(const CpuSet& cpus, const Siblings& siblings) {
  if (cpus.empty()) return false;
  const CpuSet core = siblings(*cpus.begin());
  for (const int cpu : cpus)
    if (core.count(cpu) == 0) return false;
  return true;
}

/// By default mpirun binds each of one or two ranks to a single core, which leaves a rank's threads one core of the
/// host, and each of more ranks to a socket. A binding to a socket is a fair share and stays; a binding to a single
/// core is replaced by the CPUs of mpirun itself. Call it before MPI starts threads, which inherit the CPUs of their
/// parent.
void undo_binding_to_one_core();

/// What the job may use of this host: the CPUs of mpirun, or all.
CpuSet host_cpus();

/// Threads for a rank that is bound to `bound` of the host's `all` CPUs, beside the other ranks of the host: if it
/// shares its CPUs with other ranks, its part of them.
int threads_of_share(int bound, int all, int ranks_of_host);

/// Binds the calling thread, and with it those that it starts later, to the CPUs of `near` that the job may use, unless
/// the user asked for a binding. If none of them may be used, nothing changes.
void bind_near(const CpuSet& near);

}  // namespace tessera
