#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cluster/cluster.h"
#include "device/device.h"
#include "job/job.h"

namespace tessera {

/// What a rank sees of the GPUs of its host.
struct GpusFound {
  std::string host;
  std::vector<std::string> uuids;  ///< by index; none also where it could not find out
  bool shares_by_nccl = false;     ///< nccl_may_share_gpus() of the rank
};

/// A GPU of its own for each rank, as the index among those that it sees, or -1 where none is left.  All ranks of a
/// host may see the same GPUs, or each one that a scheduler has bound to it: two are never given one GPU.
std::vector<int> assign_gpus(const std::vector<GpusFound>& ranks);

/// The kind of device for all ranks: device.type, with auto a GPU where every rank has one of its own, or with
/// device.share one at all.  `assigned`: by assign_gpus.  Throws ClusterError, naming the hosts, where GPUs are asked
/// for and one is missing, and where ranks that share GPUs would not talk in the same way.
DeviceKind choose_device(const DeviceSettings& settings, const std::vector<GpusFound>& ranks,
                         const std::vector<int>& assigned);

/// This rank's device, made on all ranks together: the CPU, or the GPU of its place among the ranks of the host.  Binds
/// the rank to the CPUs near its GPU (bind_near).
std::unique_ptr<Device> make_compute_device(const Job& job, Cluster& cluster);

/// job.device.threads, or this rank's share of the CPUs that it is bound to.
int compute_threads(const Job& job, const Cluster& cluster);

}  // namespace tessera
