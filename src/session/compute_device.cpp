#include "session/compute_device.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/number.h"
#include "cluster/agree.h"
#include "cluster/binding.h"
#include "cluster/device_communicator.h"
#include "device/gpu_library.h"

namespace tessera {
namespace {

/// Empty if GPUs cannot be listed: an error with device.type = cuda; with auto a warning if a driver is installed,
/// which suggests that a GPU is expected.
std::vector<std::string> look_for_gpus(Cluster& cluster, DeviceType wanted) {
  std::vector<std::string> uuids;
  agree(cluster.world(), "looking for GPUs", [&] {
    try {
      if (cluster.size() > 1) check_gpu_communicator();
      uuids = find_gpus();
    } catch (const ClusterError& error) {
      if (wanted == DeviceType::cuda) throw;
      if (GpuLibrary::has_driver()) log::warn("{}", error.what());
    }
  });
  return uuids;
}

std::vector<GpusFound> gather_gpus(Cluster& cluster, const std::vector<std::string>& uuids) {
  struct Message {
    int32_t count, shares_by_nccl;
    std::array<std::array<char, 16>, 32> uuids;  // more than any host has
  };
  Message mine{};
  mine.count = static_cast<int32_t>(std::min(uuids.size(), mine.uuids.size()));
  mine.shares_by_nccl = nccl_may_share_gpus() ? 1 : 0;
  for (size_t i = 0; i < static_cast<size_t>(mine.count); ++i) uuids[i].copy(mine.uuids[i].data(), 16);
  std::vector<Message> all(static_cast<size_t>(cluster.size()));
  cluster.world().all_gather_host(&mine, all.data(), sizeof mine, "all_gather(GPUs)");
  std::vector<GpusFound> ranks;
  for (size_t r = 0; r < all.size(); ++r) {
    GpusFound& found = ranks.emplace_back(GpusFound{cluster.hosts()[r], {}, all[r].shares_by_nccl != 0});
    for (size_t i = 0; i < static_cast<size_t>(all[r].count); ++i)
      found.uuids.emplace_back(all[r].uuids[i].data(), all[r].uuids[i].size());
  }
  return ranks;
}

/// Every rank reaches the same error, so one of them prints it.
DeviceKind choose_together(const Job& job, Cluster& cluster, const std::vector<GpusFound>& ranks,
                           const std::vector<int>& assigned) {
  DeviceKind kind = DeviceKind::cpu;
  agree(cluster.world(), "choosing devices", [&] { kind = choose_device(job.device, ranks, assigned); });
  if (kind == DeviceKind::cpu && std::any_of(assigned.begin(), assigned.end(), [](int gpu) { return gpu >= 0; }))
    log::info("computing on CPUs: not every rank has its own GPU");
  return kind;
}

void describe_gpu(const Job& job, const Cluster& cluster, const Device& device) {
  log::info("computing on {}; {}", device.description(),
            job.device.deterministic ? "results are deterministic"
                                     : "results vary from run to run (device.deterministic = false)");
  if (job.device.share)
    log::info("ranks that share a GPU communicate through {}",
              nccl_may_share_gpus() ? "NCCL (NCCL_MULTI_RANK_GPU_ENABLE)" : "MPI and page-locked memory");
  const std::set<std::string> hosts(cluster.hosts().begin(), cluster.hosts().end());
  const bool by_nccl = !job.device.share || nccl_may_share_gpus();
  if (hosts.size() > 1 && by_nccl) log::info("{}", describe_nccl_network());
}

/// Logs the CPUs of a rank that may not use all of its host.
void describe_binding() {
  const CpuSet bound = allowed_cpus();
  if (bound.size() < host_cpus().size()) log::info("host threads run on CPUs {}", cpu_list_text(bound));
}

/// The variable comes from the environment, which mpirun passes to other hosts only on request.
void require_one_way_to_share(const std::vector<GpusFound>& ranks) {
  const auto differs = [&](const GpusFound& rank) { return rank.shares_by_nccl != ranks.front().shares_by_nccl; };
  if (std::any_of(ranks.begin(), ranks.end(), differs))
    throw ClusterError(
        "device.share: NCCL_MULTI_RANK_GPU_ENABLE is 1 on some ranks only; pass it to all with mpirun -x "
        "NCCL_MULTI_RANK_GPU_ENABLE");
}

[[noreturn]] void throw_missing_gpus(const std::vector<GpusFound>& ranks, const std::vector<int>& assigned) {
  std::map<std::string, std::set<std::string>> gpus;
  std::map<std::string, int> sizes;
  std::set<std::string> without, crowded;
  for (const GpusFound& rank : ranks) {
    gpus[rank.host].insert(rank.uuids.begin(), rank.uuids.end());
    ++sizes[rank.host];
  }
  for (size_t r = 0; r < ranks.size(); ++r) {
    const std::string& host = ranks[r].host;
    if (ranks[r].uuids.empty()) {
      without.insert(host);
    } else if (assigned[r] < 0) {
      const size_t count = gpus[host].size();
      crowded.insert(fmt::format("{} ({} ranks, {} GPU{})", host, sizes[host], count, count == 1 ? "" : "s"));
    }
  }
  if (!without.empty())
    throw ClusterError("device.type = cuda: no GPU on {}; remove the host from the hostfile, or set device.type = cpu",
                       fmt::join(without, ", "));
  throw ClusterError("device.type = cuda: more ranks than GPUs on {}; start one rank per GPU (slots in the hostfile)",
                     fmt::join(crowded, ", "));
}

/// The ranks of a host and its GPUs: Kuhn's algorithm for a matching, in which the ranks take the first that is free.
class Matching {
 public:
  explicit Matching(const std::vector<GpusFound>& ranks) : ranks_(ranks), gpu_of_(ranks.size(), -1) {}

  void give(size_t rank) {
    std::set<std::string> asked;
    find(rank, asked);
  }
  const std::vector<int>& gpu_of() const { return gpu_of_; }

 private:
  bool find(size_t rank, std::set<std::string>& asked) {
    const auto& uuids = ranks_[rank].uuids;
    for (size_t i = 0; i < uuids.size(); ++i)
      if (owner_.try_emplace(key(rank, i), rank).second) return take(rank, i);
    for (size_t i = 0; i < uuids.size(); ++i)  // none is free: may an owner take another one?
      if (asked.insert(key(rank, i)).second && find(owner_[key(rank, i)], asked)) {
        owner_[key(rank, i)] = rank;
        return take(rank, i);
      }
    return false;
  }
  bool take(size_t rank, size_t gpu) {
    gpu_of_[rank] = static_cast<int>(gpu);
    return true;
  }
  std::string key(size_t rank, size_t gpu) const { return ranks_[rank].host + '\n' + ranks_[rank].uuids[gpu]; }

  const std::vector<GpusFound>& ranks_;
  std::vector<int> gpu_of_;
  std::map<std::string, size_t> owner_;
};

}  // namespace

std::vector<int> assign_gpus(const std::vector<GpusFound>& ranks) {
  Matching matching(ranks);
  for (size_t rank = 0; rank < ranks.size(); ++rank) matching.give(rank);
  return matching.gpu_of();
}

DeviceKind choose_device(const DeviceSettings& settings, const std::vector<GpusFound>& ranks,
                         const std::vector<int>& assigned) {
  if (settings.type == DeviceType::cpu) return DeviceKind::cpu;
  const bool all_see_one =
      std::none_of(ranks.begin(), ranks.end(), [](const GpusFound& rank) { return rank.uuids.empty(); });
  if (settings.share && all_see_one) {
    require_one_way_to_share(ranks);
    return DeviceKind::cuda;
  }
  if (std::all_of(assigned.begin(), assigned.end(), [](int gpu) { return gpu >= 0; })) return DeviceKind::cuda;
  if (settings.type == DeviceType::auto_) return DeviceKind::cpu;
  throw_missing_gpus(ranks, assigned);
}

std::unique_ptr<Device> make_compute_device(const Job& job, Cluster& cluster) {
  std::vector<std::string> uuids;
  if (job.device.type != DeviceType::cpu) uuids = look_for_gpus(cluster, job.device.type);
  const std::vector<GpusFound> ranks = gather_gpus(cluster, uuids);
  const std::vector<int> assigned = assign_gpus(ranks);
  const DeviceKind kind = choose_together(job, cluster, ranks, assigned);
  std::unique_ptr<Device> device;
  agree(cluster.world(), "opening the device", [&] {
    const int own = assigned[static_cast<size_t>(cluster.rank())];
    device = kind == DeviceKind::cpu
                 ? make_cpu_device(compute_threads(job, cluster))
                 : make_cuda_device(own >= 0 ? own : cluster.local_rank() % narrow<int>(uuids.size()));
    bind_near(parse_cpu_list(device->near_cpus()));  // before host memory is pinned, which lies near what first uses it
  });
  describe_binding();
  if (kind == DeviceKind::cuda) describe_gpu(job, cluster, *device);
  return device;
}

int compute_threads(const Job& job, const Cluster& cluster) {
  if (job.device.threads > 0) return narrow<int>(job.device.threads);
  const auto count = [](const CpuSet& cpus) { return narrow<int>(cpus.size()); };
  return threads_of_share(std::max(1, count(allowed_cpus())), std::max(1, count(host_cpus())), cluster.local_size());
}

}  // namespace tessera
