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

/// The collectives of a group for streams of `device`: on a CPU the group's own; on GPUs NCCL's, or where ranks share a
/// GPU and NCCL may not, the group's own through page-locked memory.  The group's own serve the host-side ones in any
/// case.  All ranks of the group call it together.
std::unique_ptr<Communicator> communicator_for(Device& device, std::unique_ptr<Communicator> group,
                                               const CommunicatorSettings& settings);

/// Throws ClusterError where the NCCL library here is too old for several ranks; beforehand, so that every rank's word
/// is heard before they try to connect.
void check_gpu_communicator();

/// How the collectives of GPUs on several hosts travel, as far as can be said before: the sockets' interfaces and the
/// fabric that this host has.  For the log of every such run.
std::string describe_nccl_network();

/// NCCL_MULTI_RANK_GPU_ENABLE = 1 in the environment: NCCL, from 2.30.3 on, connects several ranks of one GPU.
bool nccl_may_share_gpus();

}  // namespace tessera
