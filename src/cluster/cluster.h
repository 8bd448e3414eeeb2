#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cluster/communicator.h"

/// The cluster room: who we are, whom we talk to, and what happens when somebody does not answer.  The only room that
/// includes mpi.h (and, with GPUs, nccl.h).
///
///   cluster.h                who and where; signals           agree.h        one error, one message, every rank stops
///   start_up.h               how long the start may take
///   communicator.h           the collectives' interface       launch.h       around MPI_Init: the environment
///   binding.h                the CPUs that a rank runs on
///   message_communicator.h   collectives over messages        exchange.h     one collective: pieces, waiting, timeout
///   network.h                interfaces of this host          device_communicator.h   the one for a device
///   over_group.h             what the two for GPUs share      staged_communicator.h   through host memory
///   nccl/                    by NCCL; only in the GPU library   collective_watch.h   how long a GPU has been in one
///   transport.h              messages, of whatever kind       mpi_transport.h   messages by MPI
///
/// What a collective does is written once, over Transport; MPI only carries bytes.  A test puts threads in its place.
namespace tessera {

struct ClusterSettings {
  double timeout_seconds = 300;  ///< how long a rank may be late before the job names it and stops
  std::string interface;         ///< for MPI's TCP messages; empty: Open MPI takes what reaches the other hosts
};

class StartUpWatch;

/// MPI from init to finalise.  One object a process, made by main before anything else.
class Cluster {
 public:
  /// MPI_Init_thread, unless the process was not started by mpirun or srun: then there is one rank and no MPI.  Throws
  /// JobError, before any rank can reach another, where this host has no such interface or Open MPI was told another.
  /// `start`, where there is one, is told what is waited for; all ranks have come when the constructor returns.
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

  /// "node1 eth1 10.0.0.1, node2 eth1 10.0.0.2": what the ranks' TCP connections to other hosts go over, which NCCL is
  /// to use as well.  Empty on one host, and where messages go another way (InfiniBand).  Every rank calls it.
  std::string describe_network();
  Communicator& world();

  /// Ends every rank at once with this exit code, which mpirun passes on; for errors that only this rank knows.  The
  /// message is printed before: mpirun adds some lines of its own (`mpirun -q` does not).
  [[noreturn]] void abort(int exit_code);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What Cluster::prefix() would be, for an error before there is a Cluster.
std::string prefix_before_mpi();

/// SIGINT, SIGTERM and SIGUSR1 ask for a stop at the next step; a second SIGINT ends the process at once.  They are
/// held back from the first moment of a process until it is known whether it has a state to save:
///   hold() → install(), where a stop is to be answered → release(), before there is another thread
namespace signals {
void hold();
void install();
void release();
bool stop_requested();
std::string stop_reason();  ///< "SIGTERM"
}  // namespace signals

}  // namespace tessera
