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
  std::vector<std::string> uuids;  ///< by index; empty also if they could not be determined
  bool shares_by_nccl = false;     ///< nccl_may_share_gpus() of the rank
};

/// A GPU of its own for each rank, as the index among those that it sees, or -1 where none is left.  All ranks of a
/// host may see the same GPUs, or each one that a scheduler has bound to it: no two ranks get the same GPU.
std::vector<int> assign_gpus(const std::vector<GpusFound>& ranks);

/// The kind of device for all ranks: device.type; auto means GPU if every rank has its own, or with device.share any.
/// `assigned`: by assign_gpus. Throws ClusterError, naming the hosts, if device.type = cuda and one is missing, and if
/// ranks that share GPUs would communicate in different ways.
DeviceKind choose_device(const DeviceSettings& settings, const std::vector<GpusFound>& ranks,
                         const std::vector<int>& assigned);

/// This rank's device, made on all ranks together: the CPU, or the GPU of its place among the ranks of the host.  Binds
/// the rank to the CPUs near its GPU (bind_near).
std::unique_ptr<Device> make_compute_device(const Job& job, Cluster& cluster);

/// job.device.threads, or this rank's share of the CPUs that it is bound to.
int compute_threads(const Job& job, const Cluster& cluster);

}  // namespace tessera
