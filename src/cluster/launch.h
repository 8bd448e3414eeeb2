#pragma once
#include <string>

namespace tessera {

/// True if mpirun or srun started this process, so that MPI_Init finds the other ranks.
bool started_by_launcher();
/// This process's rank as the launcher gives it in the environment; 0 without a launcher.
int launched_rank();

/// The name of this host, up to its first dot.
std::string this_host();

/// Settings for Open MPI that must be in the environment before MPI_Init.  Values set by the user or the cluster's
/// administrator stay.  `interface`: the network interface for MPI's TCP messages; empty: Open MPI chooses.  The
/// daemons of mpirun are connected by then, over the interfaces that it was started with (oob_tcp_if_include).
void prepare_environment(const std::string& interface);

/// Throws JobError if the environment sets another interface for Open MPI than `interface`.
void check_interface_in_environment(const std::string& interface);

/// For NCCL, unless the environment says something already: the interfaces that reached the other hosts, as "eth0
/// 10.0.0.1, eth1 10.1.0.1".
void suggest_interfaces_to_nccl(const std::string& connected);

}  // namespace tessera
