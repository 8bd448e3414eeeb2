#include <nccl.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

// Ranks are threads, and a collective is work on its stream that waits for the other ranks' streams.  As the
// communicators of the project ask for it, calls return before what they ask for is done: ncclInProgress at first.
// Sums are made in the order of ranks.

namespace {

struct Call {
  enum Kind { all_gather, reduce_scatter, all_reduce } kind;
  const void* send;
  void* recv;
  size_t count;
  ncclDataType_t type;

  size_t bytes() const { return count * (type == ncclFloat32 ? sizeof(float) : 1); }
  bool matches(const Call& other) const { return kind == other.kind && count == other.count && type == other.type; }
};

/// Where the ranks of a communicator meet.
struct Group {
  explicit Group(int ranks_) : ranks(ranks_) {}

  /// One collective: what each rank brought, and how many have made their result.
  struct Meeting {
    std::map<int, Call> calls;
    int made = 0;
  };
  const int ranks;
  std::mutex mutex;
  std::condition_variable changed;
  int joined = 0;
  std::map<int64_t, Meeting> meetings;
};

std::mutex groups_mutex;
std::map<int64_t, std::shared_ptr<Group>> groups;  // by id
std::atomic<int64_t> ids = 0;
std::atomic<int> communicators = 0, registrations = 0, aborts = 0;
std::atomic<int> version_told = NCCL_VERSION(2, 32, 1), max_ctas_told = 0;
std::atomic<ncclResult_t> reported = ncclSuccess, refusal = ncclSuccess;

/// What a rank's part of a collective makes of everybody's, before any of it is written.
std::vector<char> result_of(const Group::Meeting& meeting, int rank) {
  const Call& own = meeting.calls.at(rank);
  std::vector<char> made;
  const auto append = [&](const void* from) {
    made.insert(made.end(), static_cast<const char*>(from), static_cast<const char*>(from) + own.bytes());
  };
  if (own.kind == Call::all_gather)
    for (const auto& [r, call] : meeting.calls) append(call.send);
  if (own.kind == Call::reduce_scatter || own.kind == Call::all_reduce) {
    const size_t first = own.kind == Call::reduce_scatter ? static_cast<size_t>(rank) * own.count : 0;
    made.resize(own.bytes());
    auto* const sums = reinterpret_cast<float*>(made.data());
    for (const auto& [r, call] : meeting.calls)
      for (size_t i = 0; i < own.count; ++i) {
        const float value = static_cast<const float*>(call.send)[first + i];
        sums[i] = r == 0 ? value : sums[i] + value;
      }
  }
  return made;
}

}  // namespace

/// What a stream's work still holds when the communicator is gone is `shared`.
struct ncclComm {
  struct Shared {
    std::shared_ptr<Group> group;
    int rank;
    bool aborted = false;  // guarded by the group's mutex, as `inside` is
    int inside = 0;        // collectives that run
  };
  std::shared_ptr<Shared> shared;
  int64_t collectives = 0;
  std::atomic<int> in_progress = 0;  // answers until the last call is done
  bool finalized = false;
};

namespace {

/// On the stream.
void run(ncclComm::Shared& comm, int64_t number, const Call& call) {
  Group& group = *comm.group;
  std::unique_lock lock(group.mutex);
  if (comm.aborted) return;
  ++comm.inside;
  Group::Meeting& meeting = group.meetings[number];
  meeting.calls[comm.rank] = call;
  group.changed.notify_all();
  const auto all = [&](int count) { return comm.aborted || count == group.ranks; };
  group.changed.wait(lock, [&] { return all(static_cast<int>(meeting.calls.size())); });
  bool fits = true;
  for (const auto& [rank, other] : meeting.calls) fits = fits && other.matches(call);
  if (!comm.aborted && fits) {
    lock.unlock();
    const std::vector<char> made = result_of(meeting, comm.rank);
    lock.lock();
    ++meeting.made;
    group.changed.notify_all();
    group.changed.wait(lock, [&] { return all(meeting.made); });
    if (!made.empty() && !comm.aborted) std::memcpy(call.recv, made.data(), made.size());
  }
  --comm.inside;
  group.changed.notify_all();
  if (!fits) throw std::logic_error("the ranks are in different collectives");
}

ncclResult_t start(ncclComm_t comm, cudaStream_t stream, const Call& call) {
  if (const ncclResult_t error = refusal.exchange(ncclSuccess); error != ncclSuccess) return error;
  if (comm == nullptr || comm->finalized || comm->in_progress > 0) return ncclInvalidUsage;
  comm->in_progress = 2;
  cuda_shim::enqueue(stream,
                     [shared = comm->shared, number = comm->collectives++, call] { run(*shared, number, call); });
  return ncclInProgress;
}

void end(ncclComm_t comm) {
  --communicators;
  delete comm;
}

}  // namespace

void nccl_shim::report(ncclResult_t error) { reported = error; }
void nccl_shim::refuse(ncclResult_t error) { refusal = error; }
nccl_shim::Held nccl_shim::held() { return {communicators, registrations}; }
int nccl_shim::aborted() { return aborts; }
void nccl_shim::set_version(int version) { version_told = version; }
int nccl_shim::last_max_ctas() { return max_ctas_told; }

ncclResult_t ncclGetVersion(int* version) {
  *version = version_told;
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclSystemError ? "unhandled system error" : "another error";
}
const char* ncclGetLastError(ncclComm_t) { return "the shim was told to"; }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const int64_t number = ++ids;
  std::memcpy(id->internal, &number, sizeof number);
  return ncclSuccess;
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
  if (config->blocking != 0) return ncclInvalidArgument;  // the project's are not
  max_ctas_told = config->maxCTAs;
  int64_t number = 0;
  std::memcpy(&number, id.internal, sizeof number);
  std::shared_ptr<Group> group;
  {
    const std::lock_guard lock(groups_mutex);
    auto& found = groups[number];
    if (found == nullptr) found = std::make_shared<Group>(ranks);
    group = found;
  }
  {
    const std::lock_guard lock(group->mutex);
    ++group->joined;
  }
  *comm = new ncclComm{std::make_shared<ncclComm::Shared>(ncclComm::Shared{group, rank})};
  ++communicators;
  return ncclInProgress;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  Group& group = *comm->shared->group;
  const std::lock_guard lock(group.mutex);
  *error = reported;
  if (*error != ncclSuccess) return ncclSuccess;
  if (group.joined < group.ranks || (comm->in_progress > 0 && --comm->in_progress > 0)) *error = ncclInProgress;
  return ncclSuccess;
}
ncclResult_t ncclCommRegister(ncclComm_t, void* memory, size_t, void** registration) {
  *registration = memory;
  ++registrations;
  return ncclSuccess;
}
ncclResult_t ncclCommDeregister(ncclComm_t, void*) {
  --registrations;
  return ncclSuccess;
}
ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  comm->finalized = true;
  comm->in_progress = 2;
  return ncclInProgress;
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (!comm->finalized) return ncclInvalidUsage;
  end(comm);
  return ncclSuccess;
}
/// What runs ends first.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  const std::shared_ptr<ncclComm::Shared> shared = comm->shared;
  std::unique_lock lock(shared->group->mutex);
  shared->aborted = true;
  shared->group->changed.notify_all();
  shared->group->changed.wait(lock, [&] { return shared->inside == 0; });
  ++aborts;
  end(comm);
  return ncclSuccess;
}

ncclResult_t ncclAllGather(const void* send, void* recv, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  return start(comm, stream, {Call::all_gather, send, recv, count, type});
}
ncclResult_t ncclReduceScatter(const void* send, void* recv, size_t count, ncclDataType_t type, ncclRedOp_t,
                               ncclComm_t comm, cudaStream_t stream) {
  return start(comm, stream, {Call::reduce_scatter, send, recv, count, type});
}
ncclResult_t ncclAllReduce(const void* send, void* recv, size_t count, ncclDataType_t type, ncclRedOp_t,
                           ncclComm_t comm, cudaStream_t stream) {
  return start(comm, stream, {Call::all_reduce, send, recv, count, type});
}
