#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cluster/cluster.h"
#include "device/device.h"
#include "job/job.h"

namespace tessera {

/// What a rank knows of the GPUs of its host.
struct GpusFound {
  std::string host;
  int local_rank = 0, local_size = 1;
  int gpus = 0;  ///< -1: it could not find out
};

/// The kind of device for all ranks: device.type, with auto a GPU where every rank has one of its own.  Throws
/// ClusterError, naming the hosts, where GPUs are asked for and one is missing.
DeviceKind choose_device(const DeviceSettings& settings, const std::vector<GpusFound>& ranks);

/// This rank's device, made on all ranks together: the CPU, or the GPU of its place among the ranks of the host.
std::unique_ptr<Device> make_compute_device(const Job& job, Cluster& cluster);

/// job.device.threads, or the cores that this process may use over the ranks of the host.
int compute_threads(const Job& job, const Cluster& cluster);

}  // namespace tessera
