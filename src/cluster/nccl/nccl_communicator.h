#pragma once
#include <nccl.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cluster/collective_watch.h"
#include "cluster/nccl/collective_call.h"
#include "cluster/over_group.h"
#include "device/cuda/cuda_device.h"

namespace tessera {

/// CUDA events without times, used again and again: a step makes none.
class EventPool {
 public:
  EventPool() = default;
  ~EventPool();
  EventPool(const EventPool&) = delete;
  EventPool& operator=(const EventPool&) = delete;
  cudaEvent_t take();
  void give_back(cudaEvent_t event) { spare_.push_back(event); }

 private:
  std::vector<cudaEvent_t> spare_;
};

/// The collectives of GPUs, by NCCL, on one stream.  The ranks meet over the group's own messages, which also serve the
/// host-side collectives.  A watchdog thread: if NCCL reports an error, or a stream stays in a collective for longer
/// than the timeout, the stream's synchronize() throws, and NCCL is aborted so that no rank hangs. NCCL adds in an
/// order of its own, the same in every run of the same ranks on the same machines (launch.cpp keeps it from the one way
/// of adding for which that does not hold).
///
/// In a group of several hosts, from NCCL 2.32 on, the memory of a collective is registered when it is first used, so
/// that the network reads and writes it directly; it has to live as long as this object then.  NCCL_LOCAL_REGISTER = 0
/// disables that.
class NcclCommunicator final : public OverGroup {
 public:
  /// On all ranks of the group together.  `max_ctas`: CommunicatorSettings::nccl_max_ctas.  Throws ClusterError on all
  /// of them if one has no suitable NCCL, or if they cannot connect.
  NcclCommunicator(CudaDevice& device, std::unique_ptr<Communicator> group, int max_ctas = 0);
  ~NcclCommunicator() override;

  void all_gather(Stream& stream, const void* send, void* recv, int64_t bytes, CollectiveName name) override {
    enqueue(stream, all_gather_call(send, recv, bytes), name);
  }
  void reduce_scatter(Stream& stream, const float* send, float* recv, int64_t count, CollectiveName name) override {
    enqueue(stream, reduce_scatter_call(send, recv, count), name);
  }
  void all_reduce(Stream& stream, float* data, int64_t count, CollectiveName name) override {
    enqueue(stream, all_reduce_call(data, count), name);
  }

  std::unique_ptr<Communicator> split(int color, const std::string& name) override {
    return std::make_unique<NcclCommunicator>(device_, group().split(color, name), max_ctas_);
  }

 private:
  class OnStream;

  void connect(const ncclUniqueId& id);
  void wait_until_ready(const std::string& what, double patience) const;
  void enqueue(Stream& stream, const CollectiveCall& call, const std::string& name);
  void register_memory(const CollectiveCall& call);
  void issue(const CollectiveCall& call, cudaStream_t stream, const std::string& name);

  void watch_over();
  void look();
  void give_up(const std::string& why);
  void leave();
  void abort() noexcept;

  CudaDevice& device_;
  bool between_hosts_ = false;
  int max_ctas_ = 0;
  bool registers_ = false;
  ncclComm_t comm_ = nullptr;  // null once it was aborted

  std::mutex mutex_;  // guards what follows, and comm_ once the watchdog runs
  std::condition_variable stopped_;
  EventPool events_;
  CollectiveWatch watch_;
  std::set<std::pair<void*, size_t>> registered_;
  std::vector<void*> registrations_;
  std::string failure_;  // why it was aborted
  bool stop_ = false;
  std::thread watchdog_;
};

}  // namespace tessera
