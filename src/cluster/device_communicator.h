#pragma once
#include <memory>
#include <string>

#include "cluster/communicator.h"

namespace tessera {

struct CommunicatorSettings {
  bool share = false;  ///< ranks may share a GPU
  /// CTAs, each on a multiprocessor, that a collective of NCCL takes at most; 0: NCCL's choice between hosts, 8 inside
  /// one.
  int nccl_max_ctas = 0;
};

/// The collectives of a group for streams of `device`: on a CPU the group's own; on GPUs NCCL's, or, if ranks share a
/// GPU that NCCL may not share, the group's own through page-locked memory. Host-side collectives always use the
/// group's own. Collective.
std::unique_ptr<Communicator> communicator_for(Device& device, std::unique_ptr<Communicator> group,
                                               const CommunicatorSettings& settings);

/// Throws ClusterError if this host's NCCL is too old for several ranks. Called before the ranks connect, so that each
/// can report.
void check_gpu_communicator();

/// The network of NCCL's collectives between hosts, as far as known beforehand: the sockets' interfaces and this host's
/// fabric. For the log.
std::string describe_nccl_network();

/// NCCL_MULTI_RANK_GPU_ENABLE = 1 in the environment: NCCL, from 2.30.3 on, connects several ranks of one GPU.
bool nccl_may_share_gpus();

}  // namespace tessera
