#pragma once
#include <memory>

#include "cluster/communicator.h"

namespace tessera {

/// The collectives of a group for streams of `device`: on a CPU the group's own; on GPUs NCCL's, or where ranks share a
/// GPU (`share`) and NCCL may not, the group's own through page-locked memory.  The group's own serve the host-side
/// ones in any case.  All ranks of the group call it together.
std::unique_ptr<Communicator> communicator_for(Device& device, std::unique_ptr<Communicator> group, bool share);

/// NCCL_MULTI_RANK_GPU_ENABLE = 1 in the environment: NCCL, from 2.30.3 on, connects several ranks of one GPU.
bool nccl_may_share_gpus();

}  // namespace tessera
