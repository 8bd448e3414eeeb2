#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cluster/communicator.h"

/// The cluster room: ranks and hosts, communication between them, and stalled ranks. The only room that includes mpi.h
/// (and, with GPUs, nccl.h).
///
///   cluster.h                ranks and hosts; signals         agree.h        one error, one message, every rank stops
///   start_up.h               how long the start may take
///   communicator.h           the collectives' interface       launch.h       around MPI_Init: the environment
///   binding.h                the CPUs that a rank runs on
///   message_communicator.h   collectives over messages        exchange.h     one collective: pieces, waiting, timeout
///   network.h                interfaces of this host          device_communicator.h   the one for a device
///   over_group.h             what the two for GPUs share      staged_communicator.h   through host memory
///   nccl/                    by NCCL; only in the GPU library   collective_watch.h   how long a GPU has been in one
///   transport.h              messages, of whatever kind       mpi_transport.h   messages by MPI
///
/// Collectives are implemented once, over Transport; MPI only carries bytes. Tests replace it with threads.
namespace tessera {

struct ClusterSettings {
  double timeout_seconds = 300;  ///< how long a rank may be late before the job names it and stops
  std::string interface;         ///< for MPI's TCP messages; empty: any interface that reaches the other hosts
};

class StartUpWatch;

/// MPI from init to finalise.  One object a process, made by main before anything else.
class Cluster {
 public:
  /// Calls MPI_Init_thread if mpirun or srun started the process; otherwise there is one rank and no MPI. Throws
  /// JobError, before any rank can reach another, if this host has no such interface or Open MPI is set to another one.
  /// Reports to `start`, if given, what it waits for; all ranks are connected when the constructor returns.
  Cluster(int* argc, char*** argv, const ClusterSettings& settings = {}, StartUpWatch* start = nullptr);
  ~Cluster();  ///< MPI_Finalize
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  int rank() const;
  int size() const;
  int local_rank() const;  ///< among the ranks of this host
  int local_size() const;
  const std::string& host() const;
  const std::vector<std::string>& hosts() const;  ///< host name of each rank
  /// "rank 3 (node4): ", empty where there is one rank.
  std::string prefix() const;

  /// "node1 eth1 10.0.0.1, node2 eth1 10.0.0.2": the interfaces of the ranks' TCP connections to other hosts, which
  /// NCCL should use too. Empty on one host, and if messages do not use TCP (InfiniBand). Collective.
  std::string describe_network();
  Communicator& world();

  /// Ends every rank at once with this exit code, which mpirun passes on; for errors that only this rank knows. Print
  /// the message before; mpirun adds lines of its own (`mpirun -q` does not).
  [[noreturn]] void abort(int exit_code);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What Cluster::prefix() would be, for an error before there is a Cluster.
std::string prefix_before_mpi();

/// SIGINT, SIGTERM and SIGUSR1 ask for a stop at the next step; a second SIGINT ends the process at once.  They are
/// blocked from the start of the process until it is known whether it has state to save:
///   hold() → install(), where a stop is to be answered → release(), before there is another thread
namespace signals {
void hold();
void install();
void release();
bool stop_requested();
std::string stop_reason();  ///< "SIGTERM"
}  // namespace signals

}  // namespace tessera
