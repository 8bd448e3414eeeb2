#include "cluster/nccl/nccl_communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>

#include "base/error.h"
#include "cluster/agree.h"
#include "cluster/device_communicator.h"
#include "cluster/last_words.h"
#include "cluster/nccl/messages.h"
#include "device/cuda/check.h"

namespace tessera {
namespace {

constexpr int oldest_version = NCCL_VERSION(2, 19, 0);          // registering memory; CTAs in ncclConfig_t
constexpr int oldest_sharing_version = NCCL_VERSION(2, 30, 3);  // several ranks on one GPU
/// Before, a collective on registered memory that follows small ones on other memory can wait for ever between hosts
/// (NVIDIA/nccl, issue 2389), as a layer's all-gather does behind a final norm's.
constexpr int oldest_registering_version = NCCL_VERSION(2, 32, 0);

/// Each CTA takes a multiprocessor from the products that the collective runs beside: 24 of them have been seen to cost
/// a product half its speed.  8 are 6% of an H100's 132.  Between hosts with 8 network cards they would be one a card,
/// so NCCL chooses there.  NCCL_MAX_CTAS in the environment goes before.
constexpr int most_ctas_inside_a_host = 8;

constexpr auto look_every = std::chrono::milliseconds(20);
constexpr auto poll_every = std::chrono::microseconds(20);
constexpr auto poll_at_once = std::chrono::microseconds(100);  // without a pause: most calls come back by then
constexpr std::chrono::seconds abort_takes{30};
constexpr double farewell_seconds = 10;

void check_nccl(ncclResult_t result, const std::string& what) {
  if (result != ncclSuccess && result != ncclInProgress)
    throw ClusterError("nccl: {}: {} ({}); set NCCL_DEBUG=INFO for details", what, ncclGetErrorString(result),
                       ncclGetLastError(nullptr));
}

/// Of the library that is loaded, which need not be the one that this was compiled with.
int nccl_version() {
  int version = 0;
  check_nccl(ncclGetVersion(&version), "asking for its version");
  return version;
}

void check_version() {
  const int version = nccl_version();
  check_nccl_version(version, oldest_version, "Tessera");
  if (nccl_may_share_gpus()) check_nccl_version(version, oldest_sharing_version, "NCCL_MULTI_RANK_GPU_ENABLE");
}

bool is_between_hosts(const std::vector<Peer>& peers) {
  return std::any_of(peers.begin(), peers.end(), [&](const Peer& peer) { return peer.host != peers.front().host; });
}

ncclDataType_t type_of(CollectiveCall::Element element) {
  return element == CollectiveCall::Element::f32 ? ncclFloat32 : ncclInt8;
}

}  // namespace

// ---- a collective on its stream ----

EventPool::~EventPool() {
  for (cudaEvent_t event : spare_) cudaEventDestroy(event);
}

cudaEvent_t EventPool::take() {
  cudaEvent_t event = nullptr;
  if (spare_.empty()) {
    cuda::check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
  } else {
    event = spare_.back();
    spare_.pop_back();
  }
  return event;
}

class NcclCommunicator::OnStream final : public RunningCollective {
 public:
  OnStream(EventPool& events, CudaStream& stream, const std::string& name)
      : RunningCollective(name), events_(events), stream_(stream), begin_(events.take()), end_(events.take()) {}
  ~OnStream() override {
    events_.give_back(begin_);
    events_.give_back(end_);
  }
  OnStream(const OnStream&) = delete;
  OnStream& operator=(const OnStream&) = delete;

  void record_begin() { record(begin_); }
  void record_end() { record(end_); }
  /// Once both are recorded.
  Place place() const override {
    if (has_passed(end_)) return Place::passed;
    return has_passed(begin_) ? Place::inside : Place::ahead;
  }
  CudaStream& stream() const { return stream_; }

 private:
  void record(cudaEvent_t event) { cuda::check(cudaEventRecord(event, stream_.handle()), "an event of " + name()); }
  bool has_passed(cudaEvent_t event) const {
    const cudaError_t state = cudaEventQuery(event);
    if (state != cudaErrorNotReady)
      cuda::check(state, "seen while " + name() +
                             " was waited for, but any kernel may have caused it (CUDA_LAUNCH_BLOCKING=1 or "
                             "compute-sanitizer tells which)");
    return state == cudaSuccess;
  }

  EventPool& events_;
  CudaStream& stream_;
  cudaEvent_t begin_, end_;
};

// ---- meeting and leaving ----

NcclCommunicator::NcclCommunicator(CudaDevice& device, std::unique_ptr<Communicator> group, int max_ctas)
    : OverGroup(std::move(group)),
      device_(device),
      between_hosts_(is_between_hosts(peers())),
      max_ctas_(max_ctas),
      registers_(between_hosts_ && nccl_version() >= oldest_registering_version),
      watch_(CollectiveWatch::Clock::now()) {
  ncclUniqueId id{};
  agree(this->group(), "starting NCCL", [&] {
    cuda::check(cudaSetDevice(device_.index()), "choosing the GPU");
    if (rank() == 0) check_nccl(ncclGetUniqueId(&id), "making an id");
  });
  broadcast_host(&id, sizeof id, 0, "broadcast of NCCL's id");
  try {
    agree(this->group(), "connecting NCCL's ranks", [&] { connect(id); });
  } catch (...) {
    abort();
    throw;
  }
  watchdog_ = std::thread([this] { watch_over(); });
}

void NcclCommunicator::connect(const ncclUniqueId& id) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  if (max_ctas_ > 0)
    config.maxCTAs = max_ctas_;
  else if (!between_hosts_)
    config.maxCTAs = most_ctas_inside_a_host;
  const std::string what = "connecting " + describe(peers());
  check_nccl(ncclCommInitRankConfig(&comm_, size(), id, rank(), &config), what);
  wait_until_ready(what, timeout() / 2);  // a rank that fails at once waits for the others' answer, with its timeout
}

/// A call of a non-blocking communicator returns at once; what it asked for may take until the others have come too.
void NcclCommunicator::wait_until_ready(const std::string& what, double patience) const {
  Waited waited(Waited::Clock::now());
  ncclResult_t state = ncclInProgress;
  while (true) {
    check_nccl(ncclCommGetAsyncError(comm_, &state), what);
    if (state != ncclInProgress) break;
    waited.look(Waited::Clock::now());
    if (patience > 0 && waited.total().count() > patience)
      throw ClusterError(
          "nccl: {} has not finished after {} s; NCCL_DEBUG=INFO shows the missing rank or interface, [network] "
          "interface chooses another interface",
          what, patience);
    if (waited.total() > poll_at_once) std::this_thread::sleep_for(poll_every);
  }
  check_nccl(state, what);
}

NcclCommunicator::~NcclCommunicator() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_all();
  watchdog_.join();
  try {
    if (comm_ != nullptr && failure_.empty() && std::uncaught_exceptions() == 0)
      leave();  // else the other ranks may be gone
  } catch (const std::exception&) {
    // The work is done: if the ranks cannot leave in order, this one leaves alone.
  }
  abort();
}

void NcclCommunicator::leave() {
  for (void* registration : registrations_) check_nccl(ncclCommDeregister(comm_, registration), "releasing memory");
  check_nccl(ncclCommFinalize(comm_), "taking leave");
  wait_until_ready("taking leave", farewell_seconds);
  check_nccl(ncclCommDestroy(std::exchange(comm_, nullptr)), "taking leave");
}

void NcclCommunicator::abort() noexcept {
  if (comm_ != nullptr) ncclCommAbort(std::exchange(comm_, nullptr));
}

// ---- collectives ----

/// The watchdog looks again when this is over: what it would abort is in use here.
void NcclCommunicator::enqueue(Stream& stream, const CollectiveCall& call, const std::string& name) {
  auto& cuda = dynamic_cast<CudaStream&>(stream);
  const std::lock_guard lock(mutex_);
  if (!failure_.empty()) throw ClusterError("{}", failure_);
  if (call.empty()) return;
  try {
    register_memory(call);
    auto collective = std::make_unique<OnStream>(events_, cuda, name);
    collective->record_begin();
    issue(call, cuda.handle(), name);
    wait_until_ready(name, timeout());  // until it is enqueued; the first one of a kind connects for that
    collective->record_end();
    watch_.add(std::move(collective));
  } catch (const ClusterError& error) {
    give_up(error.what());
    throw;
  }
}

/// Every rank uses the same memory in the same order, so all register it for the same collective, as NCCL asks.
void NcclCommunicator::register_memory(const CollectiveCall& call) {
  if (!registers_) return;
  for (const auto& range : memory_of(call, size())) {
    if (!registered_.insert(range).second) continue;
    void* registration = nullptr;
    check_nccl(ncclCommRegister(comm_, range.first, range.second, &registration), "registering memory");
    wait_until_ready("registering memory", timeout());
    if (registration != nullptr) registrations_.push_back(registration);  // none with NCCL_LOCAL_REGISTER = 0
  }
}

void NcclCommunicator::issue(const CollectiveCall& call, cudaStream_t stream, const std::string& name) {
  const auto result = [&] {
    switch (call.kind) {
      case CollectiveCall::Kind::all_gather:
        return ncclAllGather(call.send, call.recv, call.count, type_of(call.element), comm_, stream);
      case CollectiveCall::Kind::reduce_scatter:
        return ncclReduceScatter(call.send, call.recv, call.count, type_of(call.element), ncclSum, comm_, stream);
      case CollectiveCall::Kind::all_reduce:
        return ncclAllReduce(call.send, call.recv, call.count, type_of(call.element), ncclSum, comm_, stream);
    }
    return ncclInvalidArgument;
  }();
  check_nccl(result, name);
}

// ---- watching ----

void NcclCommunicator::watch_over() {
  cudaSetDevice(device_.index());
  std::unique_lock lock(mutex_);
  while (failure_.empty() && !stopped_.wait_for(lock, look_every, [this] { return stop_; })) {
    try {
      if (failure_.empty()) look();
    } catch (const std::exception& error) {
      give_up(error.what());
    }
  }
}

/// With the mutex held.
void NcclCommunicator::look() {
  watch_.look(CollectiveWatch::Clock::now());
  if (watch_.oldest() == nullptr) return;
  ncclResult_t state = ncclSuccess;
  check_nccl(ncclCommGetAsyncError(comm_, &state), watch_.oldest()->name());
  check_nccl(state, watch_.oldest()->name());
  if (watch_.is_late(timeout(), rank()))
    give_up(late_collective_message(watch_.oldest()->name(), timeout(), rank(), peers()));
}

/// With the mutex held.  Work on the GPU then ends, and the streams report why.
void NcclCommunicator::give_up(const std::string& why) {
  failure_ = why;
  for (const auto& collective : watch_.all())
    static_cast<const OnStream&>(*collective).stream().fail(std::make_exception_ptr(ClusterError("{}", why)));
  const LastWords unless_it_returns(why, abort_takes);  // the mutex is held: a hang in the call would be silent
  abort();
}

}  // namespace tessera

extern "C" void tessera_gpu_check_communicator() { tessera::check_version(); }

extern "C" tessera::Communicator* tessera_gpu_make_communicator(tessera::Device& device,
                                                                std::unique_ptr<tessera::Communicator>&& group,
                                                                int max_ctas) {
  return new tessera::NcclCommunicator(dynamic_cast<tessera::CudaDevice&>(device), std::move(group), max_ctas);
}
