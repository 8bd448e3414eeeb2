#include "trainer/compute_device.h"

#include <sched.h>

#include <algorithm>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/number.h"
#include "cluster/agree.h"
#include "device/gpu_library.h"

namespace tessera {
namespace {

bool has_own_gpu(const GpusFound& rank) { return rank.local_rank < rank.gpus; }

/// -1 where the question has no answer: an error where GPUs are asked for by name; with auto a warning where a driver
/// tells that somebody expects one.
int count_gpus(Cluster& cluster, DeviceType wanted) {
  int gpus = -1;
  agree(cluster.world(), "looking for GPUs", [&] {
    try {
      gpus = cuda_device_count();
    } catch (const ClusterError& error) {
      if (wanted == DeviceType::cuda) throw;
      if (GpuLibrary::has_driver()) log::warn("{}", error.what());
    }
  });
  return gpus;
}

std::vector<GpusFound> gather_gpus(Cluster& cluster, int gpus) {
  struct Message {
    int local_rank, local_size, gpus;
  };
  const Message mine{cluster.local_rank(), cluster.local_size(), gpus};
  std::vector<Message> all(static_cast<size_t>(cluster.size()));
  cluster.world().all_gather_host(&mine, all.data(), sizeof mine, "all_gather(GPUs)");
  std::vector<GpusFound> ranks;
  for (size_t r = 0; r < all.size(); ++r)
    ranks.push_back({cluster.hosts()[r], all[r].local_rank, all[r].local_size, all[r].gpus});
  return ranks;
}

/// Every rank comes to the same error, so one of them tells it.
DeviceKind choose_together(const Job& job, Cluster& cluster, const std::vector<GpusFound>& ranks) {
  DeviceKind kind = DeviceKind::cpu;
  agree(cluster.world(), "choosing devices", [&] { kind = choose_device(job.device, ranks); });
  if (kind == DeviceKind::cpu && std::any_of(ranks.begin(), ranks.end(), has_own_gpu))
    log::info("computing on CPUs: not every rank has a GPU of its own");
  return kind;
}

}  // namespace

DeviceKind choose_device(const DeviceSettings& settings, const std::vector<GpusFound>& ranks) {
  if (settings.type == DeviceType::cpu) return DeviceKind::cpu;
  if (std::all_of(ranks.begin(), ranks.end(), has_own_gpu)) return DeviceKind::cuda;
  if (settings.type == DeviceType::auto_) return DeviceKind::cpu;

  std::set<std::string> without, crowded;
  for (const GpusFound& rank : ranks) {
    if (rank.gpus <= 0) without.insert(rank.host);
    if (rank.gpus > 0 && !has_own_gpu(rank))
      crowded.insert(
          fmt::format("{} ({} ranks, {} GPU{})", rank.host, rank.local_size, rank.gpus, rank.gpus == 1 ? "" : "s"));
  }
  if (!without.empty())
    throw ClusterError("device.type = cuda: no GPU on {}; leave the host out, or set device.type = cpu",
                       fmt::join(without, ", "));
  if (!settings.share)
    throw ClusterError("device.type = cuda: more ranks than GPUs on {}; start one rank a GPU (slots in the hostfile)",
                       fmt::join(crowded, ", "));
  return DeviceKind::cuda;
}

std::unique_ptr<Device> make_compute_device(const Job& job, Cluster& cluster) {
  const int gpus = job.device.type == DeviceType::cpu ? 0 : count_gpus(cluster, job.device.type);
  const DeviceKind kind = choose_together(job, cluster, gather_gpus(cluster, gpus));
  std::unique_ptr<Device> device;
  agree(cluster.world(), "opening the device", [&] {
    device = kind == DeviceKind::cpu ? make_cpu_device(compute_threads(job, cluster))
                                     : make_cuda_device(cluster.local_rank() % gpus);
  });
  if (kind == DeviceKind::cuda) log::info("computing on {}", device->description());
  return device;
}

int compute_threads(const Job& job, const Cluster& cluster) {
  if (job.device.threads > 0) return narrow<int>(job.device.threads);
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  const int bound = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
  const int share = std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / cluster.local_size());
  return std::clamp(bound, 1, share);
}

}  // namespace tessera
