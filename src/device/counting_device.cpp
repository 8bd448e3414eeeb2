#include "device/counting_device.h"

#include <cstdlib>
#include <utility>

namespace tessera {
namespace {

class CountingStream final : public Stream {
 public:
  CountingStream(Device& device, std::string name) : device_(device), name_(std::move(name)) {}
  Device& device() override { return device_; }
  const std::string& name() const override { return name_; }
  void enqueue(std::function<void()>) override {}
  void transfer(const void*, void*, int64_t) override {}
  void synchronize() override {}

 private:
  Device& device_;
  std::string name_;
};

class CountingEvent final : public Event {
  void record(Stream&) override {}
  void wait(Stream&) override {}
  void synchronize() override {}
};

class CountingTimestamp final : public Timestamp {
  void record(Stream&) override {}
  double seconds_since(const Timestamp&) const override { return 0; }
};

/// What the host writes at once: numbers that it reads back.
bool is_real(int64_t bytes, Memory place) { return place == Memory::host && bytes <= 4096; }

}  // namespace

std::unique_ptr<Stream> CountingDevice::make_stream(std::string name) {
  return std::make_unique<CountingStream>(*this, std::move(name));
}
std::unique_ptr<Event> CountingDevice::make_event() { return std::make_unique<CountingEvent>(); }
std::unique_ptr<Timestamp> CountingDevice::make_timestamp() { return std::make_unique<CountingTimestamp>(); }

void* CountingDevice::allocate(int64_t bytes, const std::string& what, Memory place) {
  constexpr size_t alignment = 64;
  Amount& counted = (place == Memory::device ? on_device_ : on_host_)[what];
  counted = counted + bytes;
  if (!is_real(bytes, place)) return reinterpret_cast<void*>(alignment);  // NOLINT(performance-no-int-to-ptr)
  const auto size = static_cast<size_t>(bytes + int64_t{alignment} - 1) / alignment * alignment;
  return std::aligned_alloc(alignment, size);
}

void CountingDevice::release(void* memory, int64_t bytes, Memory place) noexcept {
  if (is_real(bytes, place)) std::free(memory);
}

}  // namespace tessera
