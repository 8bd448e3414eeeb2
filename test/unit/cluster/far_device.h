#pragma once
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

#include "cluster/over_group.h"
#include "device/device.h"

/// A device whose memory the host cannot reach, as a GPU's: only what was allocated in Memory::host may be given to
/// host code.  Everything else counts as the device's, so that a test's vectors may stand for it.
namespace tessera::test {

class FarDevice final : public Device {
 public:
  DeviceKind kind() const override { return DeviceKind::cuda; }
  std::string description() const override { return "far away"; }
  double peak_flops(DType) const override { return 0; }
  std::unique_ptr<Stream> make_stream(std::string name) override;
  std::unique_ptr<Event> make_event() override { return near_->make_event(); }
  std::unique_ptr<Timestamp> make_timestamp() override { return near_->make_timestamp(); }

  void* allocate(int64_t bytes, const std::string& what, Memory place) override {
    void* const memory = near_->allocate(bytes, what, place);
    if (place == Memory::host) {
      const std::lock_guard lock(mutex_);
      on_host_[static_cast<char*>(memory)] = bytes;
      ++host_allocations_;
    }
    return memory;
  }
  /// What still reads it then reads something else.
  void release(void* memory, int64_t bytes, Memory place) noexcept override {
    if (memory != nullptr) std::memset(memory, 'x', static_cast<size_t>(bytes));
    {
      const std::lock_guard lock(mutex_);
      on_host_.erase(static_cast<char*>(memory));
    }
    near_->release(memory, bytes, place);
  }
  void copy(const void* from, void* to, int64_t bytes) override { near_->copy(from, to, bytes); }
  void set_zero(void* memory, int64_t bytes, Memory place) override { near_->set_zero(memory, bytes, place); }

  /// Whether all these bytes may be touched by host code.
  bool host_reaches(const void* memory, int64_t bytes) const {
    const std::lock_guard lock(mutex_);
    const auto* begin = static_cast<const char*>(memory);
    for (const auto& [start, length] : on_host_)
      if (begin >= start && begin + bytes <= start + length) return true;
    return bytes == 0;
  }
  int host_allocations() const {
    const std::lock_guard lock(mutex_);
    return host_allocations_;
  }

 private:
  std::unique_ptr<Device> near_ = make_cpu_device(1);
  mutable std::mutex mutex_;
  std::map<char*, int64_t> on_host_;
  int host_allocations_ = 0;
};

class FarStream final : public Stream {
 public:
  FarStream(FarDevice& device, std::unique_ptr<Stream> queue) : device_(device), queue_(std::move(queue)) {}
  Device& device() override { return device_; }
  const std::string& name() const override { return queue_->name(); }
  void enqueue(std::function<void()> work) override { queue_->enqueue(std::move(work)); }
  void transfer(const void* from, void* to, int64_t bytes) override {
    if (bytes > 0 && device_.host_reaches(from, bytes) == device_.host_reaches(to, bytes))
      throw std::logic_error("a transfer that is not between the host and the device");
    queue_->transfer(from, to, bytes);
  }
  void synchronize() override { queue_->synchronize(); }

 private:
  FarDevice& device_;
  std::unique_ptr<Stream> queue_;
};

inline std::unique_ptr<Stream> FarDevice::make_stream(std::string name) {
  return std::make_unique<FarStream>(*this, near_->make_stream(std::move(name)));
}

/// A group's collectives, which refuse what the host does not reach.
class HostOnly final : public OverGroup {
 public:
  HostOnly(FarDevice& device, std::unique_ptr<Communicator> group) : OverGroup(std::move(group)), device_(device) {}

  void all_gather(Stream& stream, const void* send, void* recv, int64_t bytes, CollectiveName name) override {
    check(send, bytes);
    check(recv, bytes * size());
    group().all_gather(stream, send, recv, bytes, std::move(name));
  }
  void reduce_scatter(Stream& stream, const float* send, float* recv, int64_t count, CollectiveName name) override {
    check(send, count * size() * size_of(DType::f32));
    check(recv, count * size_of(DType::f32));
    group().reduce_scatter(stream, send, recv, count, std::move(name));
  }
  void all_reduce(Stream& stream, float* data, int64_t count, CollectiveName name) override {
    check(data, count * size_of(DType::f32));
    group().all_reduce(stream, data, count, std::move(name));
  }

  std::unique_ptr<Communicator> split(int color, const std::string& name) override {
    return std::make_unique<HostOnly>(device_, group().split(color, name));
  }

 private:
  void check(const void* memory, int64_t bytes) const {
    if (!device_.host_reaches(memory, bytes)) throw std::logic_error("host code was given memory of the device");
  }

  FarDevice& device_;
};

}  // namespace tessera::test
