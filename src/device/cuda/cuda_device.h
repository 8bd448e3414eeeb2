#pragma once
#include <cuda_runtime.h>

#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "device/device.h"

/// The device room on CUDA. Failing calls of the runtime are ClusterErrors with CUDA's message.
namespace tessera {

/// The GPU that a process computes with, by its index among those that CUDA_VISIBLE_DEVICES leaves.  Memory is
/// allocated while a job is set up and not in a step.
class CudaDevice final : public Device {
 public:
  explicit CudaDevice(int index);
  ~CudaDevice() override;

  DeviceKind kind() const override { return DeviceKind::cuda; }
  std::string description() const override;
  double peak_flops(DType dtype) const override;
  std::string near_cpus() const override;
  std::unique_ptr<Stream> make_stream(std::string name) override;
  std::unique_ptr<Event> make_event() override;
  std::unique_ptr<Timestamp> make_timestamp() override;
  void reserve(int64_t bytes, const std::string& plan) override;
  void* allocate(int64_t bytes, const std::string& what, Memory place) override;
  void release(void* memory, int64_t bytes, Memory place) noexcept override;
  void copy(const void* from, void* to, int64_t bytes) override;
  void set_zero(void* memory, int64_t bytes, Memory place) override;

  int index() const { return index_; }

  /// Pieces of the reserved memory begin at multiples of this, as cudaMalloc's do.
  static constexpr int64_t piece_alignment = 256;

 private:
  void* allocate_on_device(int64_t bytes, const std::string& what);
  /// From the reserved memory; null if too little is left.
  void* cut(int64_t bytes);
  bool is_reserved(const void* memory) const;
  [[noreturn]] void throw_out_of_memory(const std::string& wanted);
  std::string largest_parts() const;  // the caller holds parts_mutex_

  int index_;
  cudaDeviceProp properties_{};
  mutable std::mutex parts_mutex_;
  struct Part {
    std::string what;
    int64_t bytes;
  };
  std::map<void*, Part> parts_;  // allocations of device memory, for error messages
  char* reserved_ = nullptr;
  int64_t reserved_bytes_ = 0, cut_bytes_ = 0;
};

/// Streams are non-blocking ones; the one named "communication" goes first where both have work.
class CudaStream final : public Stream {
 public:
  CudaStream(CudaDevice& device, std::string name);
  ~CudaStream() override;

  Device& device() override { return device_; }
  const std::string& name() const override { return name_; }
  /// Host code runs on a thread of CUDA's, between what was enqueued before and after it; it must not call CUDA.
  void enqueue(std::function<void()> work) override;
  void transfer(const void* from, void* to, int64_t bytes) override;
  void synchronize() override;

  /// Makes synchronize() throw, for work whose failure CUDA does not see. The first one counts.
  void fail(std::exception_ptr failure);
  cudaStream_t handle() const { return handle_; }

 private:
  class HostCode;
  struct HostWork;
  static void run_host_work(void* work) noexcept;

  CudaDevice& device_;
  const std::string name_;
  cudaStream_t handle_ = nullptr;
  std::shared_ptr<HostCode> host_code_;
};

/// The handle of a stream that a CudaDevice has made.
cudaStream_t cuda_stream(Stream& stream);

class CudaEvent final : public Event {
 public:
  CudaEvent();
  ~CudaEvent() override;
  void record(Stream& stream) override;
  void wait(Stream& stream) override;
  void synchronize() override;

 private:
  cudaEvent_t handle_ = nullptr;
};

class CudaTimestamp final : public Timestamp {
 public:
  CudaTimestamp();
  ~CudaTimestamp() override;
  void record(Stream& stream) override;
  double seconds_since(const Timestamp& earlier) const override;

 private:
  cudaEvent_t handle_ = nullptr;
};

}  // namespace tessera
