#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include "cuda_shim/memory.h"
#include "device/device.h"

// CUDA's runtime as far as the project calls it.  Its streams and events are those of the CPU.  What the default stream
// may do after a call returned, it does as late as CUDA allows.  In the environment:
//   CUDA_SHIM_GPUS        names of the GPUs that this process sees, between blanks; one without
//   CUDA_SHIM_TAKEN_MIB   of a GPU's 4096, what another program has taken
//   CUDA_SHIM_DRIVER      the newest CUDA that the driver serves, 13000 without

struct CUstream_st {
  std::unique_ptr<tessera::Device> device = tessera::make_cpu_device(1);
  std::unique_ptr<tessera::Stream> stream = device->make_stream("CUDA");
};
struct CUevent_st {
  unsigned flags;
  std::unique_ptr<tessera::Device> device = tessera::make_cpu_device(1);
  std::unique_ptr<tessera::Event> event = device->make_event();
  std::unique_ptr<tessera::Timestamp> time = device->make_timestamp();
  int64_t recorded = 0;
  /// What the stream writes when it gets there, also after the event is gone.
  struct Passed {
    std::atomic<int64_t> number = 0;
    std::atomic<double> extra_seconds = 0;  // let_time_pass() until then
  };
  std::shared_ptr<Passed> passed = std::make_shared<Passed>();
};

namespace {

std::atomic<bool> broken = false;
std::atomic<int> waits_while_broken = 0;
std::atomic<double> extra_seconds = 0;

/// Of the default stream: writes to the device that cudaMemcpy and cudaMemset leave to be done.
std::mutex default_mutex;
std::vector<std::function<void()>> default_stream;

void finish_default_stream() {
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard lock(default_mutex);
    work.swap(default_stream);
  }
  for (const auto& each : work) each();
}

void leave_to_default_stream(std::function<void()> work) {
  const std::lock_guard lock(default_mutex);
  default_stream.push_back(std::move(work));
}

}  // namespace

void cuda_shim::let_time_pass(double seconds) { extra_seconds = extra_seconds + seconds; }
void cuda_shim::break_gpu(bool so) {
  broken = so;
  waits_while_broken = 0;
}
int cuda_shim::waits_for_broken_gpu() { return waits_while_broken; }

void cuda_shim::enqueue(cudaStream_t stream, std::function<void()> work) {
  if (stream == nullptr) {
    finish_default_stream();
    return work();
  }
  stream->stream->enqueue(std::move(work));
}

namespace {

constexpr size_t total_bytes = size_t{4} << 30;

std::vector<std::string> names_of_gpus() {
  const char* names = std::getenv("CUDA_SHIM_GPUS");
  std::istringstream words(names == nullptr ? "one" : names);
  return {std::istream_iterator<std::string>(words), {}};
}

size_t bytes_taken() {
  const char* mib = std::getenv("CUDA_SHIM_TAKEN_MIB");
  return mib == nullptr ? 0 : std::strtoul(mib, nullptr, 10) << 20;
}
std::mutex mutex;
std::map<void*, size_t> allocated, page_locked;  // by cudaMalloc, cudaHostAlloc
size_t allocated_bytes = 0;

bool is_part_of(const std::map<void*, size_t>& pieces, const void* memory) {
  const std::lock_guard lock(mutex);
  const auto behind = pieces.upper_bound(const_cast<void*>(memory));
  if (behind == pieces.begin()) return false;
  const auto piece = std::prev(behind);
  return static_cast<const char*>(memory) < static_cast<const char*>(piece->first) + piece->second;
}

}  // namespace

cudaError_t cudaDriverGetVersion(int* version) {
  const char* given = std::getenv("CUDA_SHIM_DRIVER");
  *version = given == nullptr ? 13000 : std::atoi(given);
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = static_cast<int>(names_of_gpus().size());
  return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaSetDevice(int device) {
  return static_cast<size_t>(device) < names_of_gpus().size() ? cudaSuccess : cudaErrorInvalidValue;
}
cudaError_t cudaInitDevice(int device, unsigned, unsigned) { return cudaSetDevice(device); }
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = cuda_shim::shared_bytes_asked;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* address, int length, int) {
  std::snprintf(address, static_cast<size_t>(length), "FFFF:00:00.0");  // no device of the host lies there
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {};
  names_of_gpus().at(static_cast<size_t>(device)).copy(properties->uuid.bytes, sizeof properties->uuid.bytes);
  std::strcpy(properties->name, "CPU that runs CUDA's kernels");
  properties->totalGlobalMem = total_bytes;
  properties->major = 9;
  properties->multiProcessorCount = 4;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  finish_default_stream();
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  const std::lock_guard lock(mutex);
  if (bytes_taken() + allocated_bytes + bytes > total_bytes) return cudaErrorMemoryAllocation;
  *memory = cuda_shim::allocate(bytes);
  allocated[*memory] = bytes;
  allocated_bytes += bytes;
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  finish_default_stream();
  const std::lock_guard lock(mutex);
  const auto found = allocated.find(memory);
  if (found == allocated.end()) return cudaErrorInvalidValue;
  allocated_bytes -= found->second;
  allocated.erase(found);
  cuda_shim::release(memory);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  *memory = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (*memory == nullptr) return cudaErrorMemoryAllocation;
  const std::lock_guard lock(mutex);
  page_locked[*memory] = bytes;
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  const std::lock_guard lock(mutex);
  page_locked.erase(memory);
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const std::lock_guard lock(mutex);
  *free = total_bytes - std::min(total_bytes, bytes_taken() + allocated_bytes);
  *total = total_bytes;
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  if (!is_part_of(allocated, to) || is_part_of(page_locked, from)) {
    finish_default_stream();
    cuda_shim::copy_bytes(to, from, bytes);
  } else if (is_part_of(allocated, from)) {
    leave_to_default_stream([=] { cuda_shim::copy_bytes(to, from, bytes); });
  } else {  // pageable memory is the caller's again, but what was read of it has not arrived
    const auto* const begin = static_cast<const char*>(from);
    leave_to_default_stream(
        [=, read = std::vector<char>(begin, begin + bytes)] { cuda_shim::copy_bytes(to, read.data(), bytes); });
  }
  return cudaSuccess;
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  leave_to_default_stream([=] { cuda_shim::set_bytes(to, value, bytes); });
  return cudaSuccess;
}
/// CUDA would take pageable memory too, and wait for the stream where it does: here it is refused.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  for (const void* memory : {static_cast<const void*>(to), from})
    if (!is_part_of(allocated, memory) && !is_part_of(page_locked, memory)) return cudaErrorInvalidValue;
  cuda_shim::enqueue(stream, [=] { cuda_shim::copy_bytes(to, from, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  cuda_shim::enqueue(stream, [=] { cuda_shim::set_bytes(to, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaMemset2DAsync(void* to, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream) {
  cuda_shim::enqueue(stream, [=] {
    for (size_t row = 0; row < height; ++row) cuda_shim::set_bytes(static_cast<char*>(to) + row * pitch, value, width);
  });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  *stream = new CUstream_st;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (broken) return cudaErrorIllegalAddress;  // the stream is left to itself
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (broken) {
    ++waits_while_broken;
    return cudaErrorIllegalAddress;
  }
  if (stream == nullptr) return cudaDeviceSynchronize();
  stream->stream->synchronize();
  return cudaSuccess;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t work, void* argument) {
  cuda_shim::enqueue(stream, [=] { work(argument); });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st{flags};
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->time->record(*stream->stream);
  event->event->record(*stream->stream);
  cuda_shim::enqueue(stream, [passed = event->passed, number = ++event->recorded] {
    passed->extra_seconds = extra_seconds.load();
    passed->number = number;
  });
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return event->passed->number == event->recorded ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  event->event->synchronize();
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  event->event->wait(*stream->stream);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  if (((begin->flags | end->flags) & cudaEventDisableTiming) != 0) return cudaErrorInvalidValue;
  const double extra = end->passed->extra_seconds - begin->passed->extra_seconds;
  *milliseconds = static_cast<float>((end->time->seconds_since(*begin->time) + extra) * 1e3);
  return cudaSuccess;
}
