#include "device/cpu_device.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "base/error.h"
#include "base/number.h"
#include "base/size_text.h"
#include "device/cpu_stream.h"

namespace tessera {
namespace {

constexpr int64_t alignment = 64;
constexpr int64_t page_bytes = 4096;
constexpr int64_t huge_page_bytes = 2 << 20;

/// From here on memory comes from the kernel directly and goes back to it at once: nothing of a large buffer stays
/// behind in the heap, so peaks are what is allocated.
constexpr int64_t large = huge_page_bytes;

/// `bytes` beginning at a huge page; null where there is no memory.
void* map_large(int64_t bytes) {
  const int64_t wanted = round_up(bytes, page_bytes), mapped = wanted + huge_page_bytes;
  void* const base =
      mmap(nullptr, static_cast<size_t>(mapped), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return nullptr;
  char* const begin = static_cast<char*>(base);
  const int64_t before =
      (huge_page_bytes - static_cast<int64_t>(reinterpret_cast<uintptr_t>(base) % huge_page_bytes)) % huge_page_bytes;
  const int64_t after = mapped - before - wanted;
  if (before > 0) munmap(begin, static_cast<size_t>(before));
  if (after > 0) munmap(begin + before + wanted, static_cast<size_t>(after));
  madvise(begin + before, static_cast<size_t>(wanted), MADV_HUGEPAGE);  // advice: small pages serve as well
  return begin + before;
}

std::string processor_name() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    const auto colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "cpu";
}

}  // namespace

CpuDevice::CpuDevice(int threads) : threads_(threads) {
  if (threads < 1) throw JobError("[device] threads: {} is invalid; expected at least 1", threads);
}

std::string CpuDevice::description() const {
  return fmt::format("{}, {} thread{}", processor_name(), threads_, threads_ == 1 ? "" : "s");
}

std::unique_ptr<Stream> CpuDevice::make_stream(std::string name) {
  return std::make_unique<CpuStream>(*this, std::move(name), threads_);
}

std::unique_ptr<Event> CpuDevice::make_event() { return std::make_unique<CpuEvent>(); }

std::unique_ptr<Timestamp> CpuDevice::make_timestamp() { return std::make_unique<CpuTimestamp>(); }

void* CpuDevice::allocate(int64_t bytes, const std::string& what, Memory place) {
  if (bytes < 0) throw std::logic_error("a negative number of bytes was requested for " + what);
  if (bytes == 0) return nullptr;
  void* const memory = bytes >= large ? map_large(bytes)
                                      : std::aligned_alloc(alignment, static_cast<size_t>(round_up(bytes, alignment)));
  if (memory == nullptr) {
    throw ClusterError(
        "out of memory: {} requested for {}, with {} in use. Try gradient_checkpointing = full, micro_batch_size = 1 "
        "or "
        "more "
        "ranks.",
        size_text(bytes), what, size_text(bytes_in_use()));
  }
  if (place == Memory::device) count(bytes);
  return memory;
}

void CpuDevice::release(void* memory, int64_t bytes, Memory place) noexcept {
  if (memory == nullptr) return;
  if (bytes >= large) {
    munmap(memory, static_cast<size_t>(round_up(bytes, page_bytes)));
  } else {
    std::free(memory);
  }
  if (place == Memory::device) count(-bytes);
}

void CpuDevice::copy(const void* from, void* to, int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
}

void CpuDevice::set_zero(void* memory, int64_t bytes, Memory) {
  if (bytes > 0) std::memset(memory, 0, static_cast<size_t>(bytes));
}

std::unique_ptr<Device> make_cpu_device(int threads) { return std::make_unique<CpuDevice>(threads); }

int cpu_threads(const Device& device) {
  const auto* cpu = dynamic_cast<const CpuDevice*>(&device);
  if (cpu == nullptr) throw std::logic_error("the threads of a device other than a CPU were requested");
  return cpu->threads();
}

}  // namespace tessera
