#include <cuda_runtime.h>

#include <algorithm>
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

// CUDA's runtime as far as the project calls it.  Its streams and events are those of the CPU.  In the environment:
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
};

void cuda_shim::enqueue(cudaStream_t stream, std::function<void()> work) {
  if (stream == nullptr) return work();
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
std::map<void*, size_t> allocated;  // by cudaMalloc
size_t allocated_bytes = 0;

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
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = cuda_shim::shared_bytes_asked;
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
cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
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
  return *memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
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
  cuda_shim::copy_bytes(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  cuda_shim::set_bytes(to, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  cuda_shim::enqueue(stream, [=] { cuda_shim::copy_bytes(to, from, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  cuda_shim::enqueue(stream, [=] { cuda_shim::set_bytes(to, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  *stream = new CUstream_st;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
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
  return cudaSuccess;
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
  *milliseconds = static_cast<float>(end->time->seconds_since(*begin->time) * 1e3);
  return cudaSuccess;
}
