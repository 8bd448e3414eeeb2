#include "device/cuda/cuda_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/number.h"
#include "base/size_text.h"
#include "device/cuda/check.h"
#include "device/cuda/peak_flops.h"

namespace tessera {
namespace {

constexpr int oldest_capability = 80;  // Ampere: bf16

}  // namespace

void cuda::check(cudaError_t error, const std::string& what) {
  if (error != cudaSuccess) throw ClusterError("cuda: {}: {}", what, cudaGetErrorString(error));
}

using cuda::check;

CudaDevice::CudaDevice(int index) : index_(index) {
  // Who waits for the GPU leaves its core to the CPU's kernels, to NCCL and to other ranks.
  check(cudaInitDevice(index, cudaDeviceScheduleBlockingSync, cudaInitDeviceFlagsAreValid),
        fmt::format("starting CUDA on GPU {}", index));
  check(cudaSetDevice(index), fmt::format("choosing GPU {}", index));
  check(cudaGetDeviceProperties(&properties_, index), fmt::format("asking for the properties of GPU {}", index));
  if (properties_.major * 10 + properties_.minor < oldest_capability)
    throw ClusterError("GPU {} is a {} of compute capability {}.{}; Tessera needs 8.0 or newer, or device.type = cpu",
                       index, properties_.name, properties_.major, properties_.minor);
  check(cudaFree(nullptr), fmt::format("starting CUDA on GPU {}", index));
}

std::string CudaDevice::description() const {
  return fmt::format("GPU {}: {}, {}", index_, properties_.name,
                     size_text(static_cast<int64_t>(properties_.totalGlobalMem)));
}

double CudaDevice::peak_flops(DType dtype) const { return cuda::peak_flops(properties_.name, dtype); }

std::string CudaDevice::near_cpus() const {
  std::array<char, 32> address{};  // "0000:3B:00.0"
  check(cudaDeviceGetPCIBusId(address.data(), static_cast<int>(address.size()), index_), "asking where the GPU is");
  std::string folder = address.data();
  std::transform(folder.begin(), folder.end(), folder.begin(), [](unsigned char c) { return std::tolower(c); });
  std::ifstream file("/sys/bus/pci/devices/" + folder + "/local_cpulist");
  std::string cpus;
  std::getline(file, cpus);
  return cpus;
}

std::unique_ptr<Stream> CudaDevice::make_stream(std::string name) {
  return std::make_unique<CudaStream>(*this, std::move(name));
}
std::unique_ptr<Event> CudaDevice::make_event() { return std::make_unique<CudaEvent>(); }
std::unique_ptr<Timestamp> CudaDevice::make_timestamp() { return std::make_unique<CudaTimestamp>(); }

CudaDevice::~CudaDevice() { cudaFree(reserved_); }

void CudaDevice::reserve(int64_t bytes, const std::string& plan) {
  Device::reserve(bytes, plan);
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, static_cast<size_t>(bytes));
  if (error == cudaErrorMemoryAllocation) throw_out_of_memory(plan);
  check(error, "reserving memory");
  cudaFree(std::exchange(reserved_, static_cast<char*>(memory)));
  reserved_bytes_ = bytes;
  cut_bytes_ = 0;
  // Libraries multiply rows behind a batch's end by zero, which what lies there by chance may survive as a NaN.
  set_zero(reserved_, bytes, Memory::device);
}

void* CudaDevice::cut(int64_t bytes) {
  const int64_t begin = round_up(cut_bytes_, piece_alignment);
  if (begin + bytes > reserved_bytes_) return nullptr;
  cut_bytes_ = begin + bytes;
  return reserved_ + begin;
}

bool CudaDevice::is_reserved(const void* memory) const {
  return memory >= reserved_ && memory < reserved_ + reserved_bytes_;
}

void* CudaDevice::allocate_on_device(int64_t bytes, const std::string& what) {
  const std::lock_guard lock(parts_mutex_);
  void* memory = cut(bytes);
  if (memory == nullptr) {
    const cudaError_t error = cudaMalloc(&memory, static_cast<size_t>(bytes));
    if (error == cudaErrorMemoryAllocation)
      throw_out_of_memory(fmt::format("{} requested for {}", size_text(bytes), what));
    check(error, "allocating " + what);
  }
  count(bytes);
  parts_[memory] = {what, bytes};
  return memory;
}

void* CudaDevice::allocate(int64_t bytes, const std::string& what, Memory place) {
  if (bytes == 0) return nullptr;
  if (place == Memory::device) return allocate_on_device(bytes, what);
  void* memory = nullptr;
  const cudaError_t error = cudaHostAlloc(&memory, static_cast<size_t>(bytes), cudaHostAllocPortable);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // the error is reported here; clear it for later calls
    throw ClusterError("out of page-locked host memory: {} requested for {}; close other programs or use more hosts",
                       size_text(bytes), what);
  }
  check(error, "allocating " + what);
  return memory;
}

void CudaDevice::release(void* memory, int64_t bytes, Memory place) noexcept {
  if (memory == nullptr) return;
  if (place == Memory::host) {
    cudaFreeHost(memory);
    return;
  }
  if (!is_reserved(memory)) cudaFree(memory);
  count(-bytes);
  const std::lock_guard lock(parts_mutex_);
  parts_.erase(memory);
}

void CudaDevice::throw_out_of_memory(const std::string& wanted) {
  cudaGetLastError();  // the error is reported here; clear it for later calls
  size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  const int64_t held = std::max(bytes_in_use(), reserved_bytes_);
  const int64_t others = static_cast<int64_t>(total - free) - held;
  throw ClusterError(
      "GPU {} is out of memory: {}; {} of {} are free. This job holds {} ({}); CUDA and other programs {}. Try "
      "gradient_checkpointing = full, shard.offload = optimizer, a smaller micro_batch_size or sequence_len, or more "
      "ranks.",
      index_, wanted, size_text(static_cast<int64_t>(free)), size_text(static_cast<int64_t>(total)), size_text(held),
      largest_parts(), size_text(std::max<int64_t>(others, 0)));
}

std::string CudaDevice::largest_parts() const {
  std::map<std::string, int64_t> by_purpose;
  for (const auto& [memory, part] : parts_) by_purpose[part.what] += part.bytes;
  std::vector<std::pair<int64_t, std::string>> parts;
  for (const auto& [what, bytes] : by_purpose) parts.emplace_back(bytes, what);
  std::sort(parts.rbegin(), parts.rend());
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(parts.size(), 4); ++i)
    text += fmt::format("{}{} {}", i == 0 ? "" : ", ", parts[i].second, size_text(parts[i].first));
  return text.empty() ? "nothing yet" : text;
}

/// cudaMemcpy may return while what comes from pageable memory, or from the device itself, is still on its way, and the
/// streams do not wait for the default one, which it is on ("API synchronization behavior" of CUDA's runtime).
void CudaDevice::copy(const void* from, void* to, int64_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpy(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault), "a copy");
  check(cudaStreamSynchronize(nullptr), "a copy");
}

void CudaDevice::set_zero(void* memory, int64_t bytes, Memory place) {
  if (bytes == 0) return;
  if (place == Memory::host) {
    std::memset(memory, 0, static_cast<size_t>(bytes));
    return;
  }
  check(cudaMemset(memory, 0, static_cast<size_t>(bytes)), "zeroing memory");
  check(cudaStreamSynchronize(nullptr), "zeroing memory");
}

// ---- streams ----

/// What of a stream's host code runs, and how it failed.  CUDA may begin one, or be in the middle of it, when the
/// stream is gone: cudaStreamSynchronize does not wait for it once the GPU has failed.
class CudaStream::HostCode {
 public:
  void run(const std::function<void()>& work) noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || failure_ != nullptr) return;  // as the other streams do: what follows a failure is dropped
      running_ = true;
    }
    std::exception_ptr failure;
    try {
      work();
    } catch (...) {
      failure = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    running_ = false;
    if (failure_ == nullptr) failure_ = failure;
    idle_.notify_all();
  }
  void fail(std::exception_ptr failure) {
    const std::lock_guard lock(mutex_);
    if (failure_ == nullptr) failure_ = std::move(failure);
  }
  void rethrow() {
    const std::lock_guard lock(mutex_);
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }
  /// None begins after this, and none runs when it returns.
  void close() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    idle_.wait(lock, [this] { return !running_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable idle_;
  bool running_ = false, closed_ = false;
  std::exception_ptr failure_;
};

struct CudaStream::HostWork {
  std::shared_ptr<HostCode> of;
  std::function<void()> work;
};

CudaStream::CudaStream(CudaDevice& device, std::string name)
    : device_(device), name_(std::move(name)), host_code_(std::make_shared<HostCode>()) {
  int least = 0, greatest = 0;
  check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "asking for stream priorities");
  check(cudaStreamCreateWithPriority(&handle_, cudaStreamNonBlocking, name_ == "communication" ? greatest : least),
        "making the stream " + name_);
}

CudaStream::~CudaStream() {
  cudaStreamSynchronize(handle_);
  host_code_->close();
  cudaStreamDestroy(handle_);
}

void CudaStream::fail(std::exception_ptr failure) { host_code_->fail(std::move(failure)); }

void CudaStream::run_host_work(void* argument) noexcept {
  const std::unique_ptr<HostWork> item(static_cast<HostWork*>(argument));
  item->of->run(item->work);
}

void CudaStream::enqueue(std::function<void()> work) {
  auto item = std::make_unique<HostWork>(HostWork{host_code_, std::move(work)});
  check(cudaLaunchHostFunc(handle_, run_host_work, item.get()), "host work on the stream " + name_);
  static_cast<void>(item.release());  // the stream's now
}

void CudaStream::transfer(const void* from, void* to, int64_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, handle_),
        "a transfer on the stream " + name_);
}

void CudaStream::synchronize() {
  device_.count_wait();
  const cudaError_t error = cudaStreamSynchronize(handle_);
  host_code_->rethrow();
  check(error, "the work on the stream " + name_);
}

cudaStream_t cuda_stream(Stream& stream) {
  auto* cuda = dynamic_cast<CudaStream*>(&stream);
  if (cuda == nullptr) throw std::logic_error("CUDA was given a stream of another device");
  return cuda->handle();
}

// ---- events ----

CudaEvent::CudaEvent() {
  check(cudaEventCreateWithFlags(&handle_, cudaEventDisableTiming | cudaEventBlockingSync), "making an event");
}
CudaEvent::~CudaEvent() { cudaEventDestroy(handle_); }
void CudaEvent::record(Stream& stream) { check(cudaEventRecord(handle_, cuda_stream(stream)), "an event"); }
/// CUDA takes the last record before this call, and none for passed.
void CudaEvent::wait(Stream& stream) { check(cudaStreamWaitEvent(cuda_stream(stream), handle_, 0), "an event"); }
void CudaEvent::synchronize() { check(cudaEventSynchronize(handle_), "an event"); }

CudaTimestamp::CudaTimestamp() { check(cudaEventCreateWithFlags(&handle_, cudaEventDefault), "making an event"); }
CudaTimestamp::~CudaTimestamp() { cudaEventDestroy(handle_); }
void CudaTimestamp::record(Stream& stream) { check(cudaEventRecord(handle_, cuda_stream(stream)), "an event"); }
double CudaTimestamp::seconds_since(const Timestamp& earlier) const {
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, static_cast<const CudaTimestamp&>(earlier).handle_, handle_),
        "the time between two events");
  return 1e-3 * static_cast<double>(milliseconds);
}

}  // namespace tessera
