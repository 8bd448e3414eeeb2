#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device/dtype.h"

/// The device room: memory, streams and events, for the CPU here and for CUDA beside it.  A stream is a queue of work
/// that runs in order; two streams run at the same time and are ordered by events only.
namespace tessera {

enum class DeviceKind { cpu, cuda };

class Device;

/// Work runs in the order in which it was enqueued.  The first exception of a piece of work is kept, what follows is
/// dropped, and synchronize() throws it.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual Device& device() = 0;
  virtual const std::string& name() const = 0;

  /// Host code that runs in stream order, on the stream's own thread.  What it touches stays alive until it has run.
  virtual void enqueue(std::function<void()> work) = 0;

  /// Copies between host and device memory, in stream order.  Both stay alive until the stream has passed; only from
  /// and to Memory::host the caller never waits.
  virtual void transfer(const void* from, void* to, int64_t bytes) = 0;

  /// Returns when everything enqueued so far has run; throws the first exception of it.
  virtual void synchronize() = 0;
};

/// A point in a stream.  record() again moves it.
class Event {
 public:
  virtual ~Event() = default;
  virtual void record(Stream& stream) = 0;  ///< passes when `stream` gets here
  virtual void wait(Stream& stream) = 0;    ///< `stream` continues only after the recorded point has passed
  virtual void synchronize() = 0;           ///< the calling thread waits; at once where nothing was recorded
};

/// A point in a stream whose time is taken.
class Timestamp {
 public:
  virtual ~Timestamp() = default;
  virtual void record(Stream& stream) = 0;
  /// Both have been recorded, and their streams synchronised since.
  virtual double seconds_since(const Timestamp& earlier) const = 0;
};

/// Where an allocation lies: in the device's own memory, or in host memory that its streams copy from and to without
/// waiting (page-locked for CUDA).  On a CPU both are host memory.
enum class Memory { device, host };

/// Memory of one device.  Counts what is allocated in Memory::device, so that peaks can be reported and tested.
class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceKind kind() const = 0;
  virtual std::string description() const = 0;
  /// FLOP/s of dense products in the data sheet; 0 if unknown, or if it must be measured, as on a CPU (trainer/flops.h,
  /// gemm_peak).
  virtual double peak_flops(DType dtype) const = 0;
  /// The host's CPUs nearest to it, as "0-15,64-79"; empty if all are equally near or this is unknown.
  virtual std::string near_cpus() const { return {}; }

  virtual std::unique_ptr<Stream> make_stream(std::string name) = 0;
  virtual std::unique_ptr<Event> make_event() = 0;
  virtual std::unique_ptr<Timestamp> make_timestamp() = 0;

  /// Aligned to 64 bytes, not initialised.  Throws ClusterError naming `what` if out of memory.
  virtual void* allocate(int64_t bytes, const std::string& what, Memory place) = 0;
  virtual void release(void* memory, int64_t bytes, Memory place) noexcept = 0;

  /// Takes `bytes` of Memory::device in one piece, for allocate() to cut from while there is room.  `plan`: their
  /// purpose, for the ClusterError if the device has less. Does nothing on a CPU, whose memory is committed only when
  /// written. peak_bytes() counts from here on, without what setting up the job has freed.
  virtual void reserve(int64_t /*bytes*/, const std::string& /*plan*/) { peak_ = in_use_.load(); }

  /// At once, between any memories of the host and this device, for setting up, loading and saving: no stream may be
  /// using them.
  virtual void copy(const void* from, void* to, int64_t bytes) = 0;
  virtual void set_zero(void* memory, int64_t bytes, Memory place) = 0;

  int64_t bytes_in_use() const { return in_use_; }
  int64_t peak_bytes() const { return peak_; }
  /// How often Memory::device was allocated, and a host thread waited for a stream.  A steady step allocates nothing,
  /// and waits at its end alone, for each of its two streams.
  int64_t allocations() const { return allocations_; }
  int64_t waits() const { return waits_; }
  void count_wait() { ++waits_; }

 protected:
  void count(int64_t bytes);

 private:
  std::atomic<int64_t> in_use_ = 0;
  std::atomic<int64_t> peak_ = 0;
  std::atomic<int64_t> allocations_ = 0, waits_ = 0;
};

/// `threads`: how many threads a kernel may use.
std::unique_ptr<Device> make_cpu_device(int threads);

/// The UUIDs, 16 bytes each, of the GPUs that CUDA_VISIBLE_DEVICES leaves to the process, by their index; and the GPU
/// of an index.  Throw ClusterError if this build has no GPU backend, or a library or the driver is missing or too old.
std::vector<std::string> find_gpus();
std::unique_ptr<Device> make_cuda_device(int index);

/// The threads of a CPU device's kernels.
int cpu_threads(const Device& device);

}  // namespace tessera
