#include "cuda_shim/execution.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "cuda_shim/fiber.h"
#include "cuda_shim/memory.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

// The section that the macro __shared__ puts variables in.  Weak, as a program may have none.
extern "C" {
extern unsigned char __start_cuda_shared[] __attribute__((weak));
extern unsigned char __stop_cuda_shared[] __attribute__((weak));
}

namespace cuda_shim {
namespace {

constexpr unsigned lanes = 32;
constexpr size_t most_threads = 1024;
constexpr int shared_bytes_unasked = 48 << 10;

size_t count(const dim3& size) { return size_t{size.x} * size.y * size.z; }

uint3 index_in(const dim3& size, size_t i) {
  return {static_cast<unsigned>(i % size.x), static_cast<unsigned>(i / size.x % size.y),
          static_cast<unsigned>(i / size.x / size.y)};
}

std::string place(const std::source_location& at) {
  const std::string_view path = at.file_name();
  return fmt::format("{}:{}", path.substr(path.rfind('/') + 1), at.line());
}

std::mutex grid_mutex;  // threadIdx and the shared memory are there once
std::map<void (*)(), int> allowed_shared_bytes;

struct Thread {
  enum State : uint8_t { ready, at_barrier, in_warp_call, ended } state = ready;
  size_t index = 0;
  std::source_location at{};  // where it waits
  WarpCall call{};            // what it waits for
  uint64_t result = 0;
  Fiber fiber;
};

class Block;
Block* running = nullptr;

/// One block at a time; its fibers serve the next one.
class Block {
 public:
  Block(const Grid& grid, const std::function<void()>& body) : grid_(grid), body_(body), size_(count(grid.threads)) {
    while (fibers_.size() < size_) fibers_.emplace_back();
    if (grid.shared_bytes > 0) shared_ = allocate(grid.shared_bytes);
  }
  ~Block() { release(shared_); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  void run(size_t number);

  void* shared() const { return shared_; }
  Thread& caller() { return *caller_; }
  void sync_threads(std::source_location at);
  uint64_t warp_call(const WarpCall& call, std::source_location at);

 private:
  static std::deque<Thread> fibers_;

  Thread& thread(size_t i) { return fibers_[i]; }
  void begin();
  void resume(Thread& thread);
  void wait(Thread::State state, std::source_location at);
  bool complete(const Thread& last);
  void finish_warp_call(const Thread& last);
  [[noreturn]] void report_stuck();

  const Grid grid_;
  const std::function<void()>& body_;
  const size_t size_;
  void* shared_ = nullptr;
  Thread* caller_ = nullptr;
  size_t arrived_ = 0;  // at the barrier
  size_t ended_ = 0;
  std::exception_ptr failure_;
};
std::deque<Thread> Block::fibers_;

void Block::begin() {
  std::fill(__start_cuda_shared, __stop_cuda_shared, untouched);
  if (shared_ != nullptr) std::memset(shared_, untouched, grid_.shared_bytes);
  arrived_ = ended_ = 0;
  for (size_t i = 0; i < size_; ++i) {
    thread(i).index = i;
    thread(i).state = Thread::ready;
    thread(i).fiber.start(
        [](void* block) {
          auto& self = *static_cast<Block*>(block);
          try {
            self.body_();
          } catch (...) {
            self.failure_ = std::current_exception();
          }
          self.caller().state = Thread::ended;
          ++self.ended_;
        },
        this);
  }
}

void Block::resume(Thread& thread) {
  caller_ = &thread;
  threadIdx = index_in(grid_.threads, thread.index);
  thread.fiber.resume();
  if (failure_) std::rethrow_exception(failure_);
}

void Block::run(size_t number) {
  blockIdx = index_in(grid_.blocks, number);
  begin();
  while (ended_ < size_) {
    bool resumed = false;
    for (size_t i = 0; i < size_; ++i) {
      Thread& next = thread(number % 2 == 0 ? i : size_ - 1 - i);
      if (next.state != Thread::ready) continue;
      resumed = true;
      resume(next);
    }
    if (!resumed) report_stuck();
  }
}

void Block::wait(Thread::State state, std::source_location at) {
  Thread& self = *caller_;
  self.state = state;
  self.at = at;
  self.fiber.yield();
}

void Block::sync_threads(std::source_location at) {
  if (++arrived_ < size_) {
    wait(Thread::at_barrier, at);
    return;
  }
  arrived_ = 0;
  for (size_t i = 0; i < size_; ++i) {
    if (thread(i).state != Thread::at_barrier) continue;
    if (thread(i).at.line() != at.line())
      throw Fault(
          fmt::format("threads of one block met at different barriers, {} and {}", place(thread(i).at), place(at)));
    thread(i).state = Thread::ready;
  }
}

uint64_t Block::warp_call(const WarpCall& call, std::source_location at) {
  Thread& self = *caller_;
  const unsigned lane = self.index % lanes;
  if ((call.mask >> lane & 1) == 0)
    throw Fault(fmt::format("{}: lane {} is not in its own mask {:#x}", place(at), lane, call.mask));
  if ((call.mask >> call.source & 1) == 0)
    throw Fault(fmt::format("{}: lane {} asks lane {}, which is not in the mask {:#x}", place(at), lane, call.source,
                            call.mask));
  self.call = call;
  self.at = at;
  if (complete(self))
    finish_warp_call(self);
  else
    wait(Thread::in_warp_call, at);
  return self.result;
}

/// Whether all lanes of the mask are here, at the same operation; a fault where one is at another.
bool Block::complete(const Thread& last) {
  const size_t first = last.index / lanes * lanes;
  for (size_t lane = 0; lane < lanes; ++lane) {
    if ((last.call.mask >> lane & 1) == 0 || first + lane == last.index) continue;
    if (first + lane >= size_)
      throw Fault(fmt::format("{}: lane {} of the mask {:#x} has no thread", place(last.at), lane, last.call.mask));
    const Thread& other = thread(first + lane);
    if (other.state != Thread::in_warp_call) return false;
    if (other.call.mask != last.call.mask || other.call.kind != last.call.kind || other.at.line() != last.at.line())
      throw Fault(
          fmt::format("lanes of one warp met at different operations, {} and {}", place(other.at), place(last.at)));
  }
  return true;
}

void Block::finish_warp_call(const Thread& last) {
  const size_t first = last.index / lanes * lanes;
  uint64_t ballot = 0;
  for (size_t lane = 0; lane < lanes; ++lane)
    if ((last.call.mask >> lane & 1) != 0) ballot |= thread(first + lane).call.value << lane;
  for (size_t lane = 0; lane < lanes; ++lane) {
    if ((last.call.mask >> lane & 1) == 0) continue;
    Thread& each = thread(first + lane);
    each.result = each.call.kind == WarpCall::ballot ? ballot : thread(first + each.call.source).call.value;
    each.state = Thread::ready;
  }
}

void Block::report_stuck() {
  std::map<std::string, size_t> places;
  for (size_t i = 0; i < size_; ++i)
    if (thread(i).state != Thread::ended) ++places[place(thread(i).at)];
  std::string waiting;
  for (const auto& [where, threads] : places) waiting += fmt::format(", {} at {}", threads, where);
  throw Fault(fmt::format("the threads of block {} wait for each other for ever: {} of {} have ended{}", blockIdx.x,
                          ended_, size_, waiting));
}

}  // namespace

bool possible(const Grid& grid) {
  return count(grid.blocks) > 0 && count(grid.threads) > 0 && count(grid.threads) <= most_threads &&
         grid.threads.z <= 64 && grid.blocks.x <= 0x7fffffffu && grid.blocks.y <= 0xffffu && grid.blocks.z <= 0xffffu;
}

bool allow_shared_memory(void (*kernel)(), int bytes) {
  const std::lock_guard lock(grid_mutex);
  if (bytes > shared_bytes_asked) return false;
  allowed_shared_bytes[kernel] = bytes;
  return true;
}

bool enough_shared_memory(void (*kernel)(), const Grid& grid) {
  const std::lock_guard lock(grid_mutex);
  const auto asked = allowed_shared_bytes.find(kernel);
  const int allowed = asked == allowed_shared_bytes.end() ? shared_bytes_unasked : asked->second;
  return grid.shared_bytes <= static_cast<size_t>(std::max(allowed, shared_bytes_unasked));
}

void run_grid(const Grid& grid, const std::function<void()>& thread) {
  const std::lock_guard lock(grid_mutex);
  blockDim = grid.threads, gridDim = grid.blocks;
  Block block(grid, thread);
  running = &block;
  for (size_t i = 0; i < count(grid.blocks); ++i) block.run(i);
  check_guard_zones();
}

void* dynamic_shared() {
  if (running->shared() == nullptr) throw Fault("a kernel launched without dynamic shared memory uses it");
  return running->shared();
}
void sync_threads(std::source_location at) { running->sync_threads(at); }
uint64_t warp_call(const WarpCall& call, std::source_location at) { return running->warp_call(call, at); }
int lane_of_caller() { return static_cast<int>(running->caller().index % lanes); }

void report_misaligned(const void* address, size_t bytes) {
  throw Fault(fmt::format("{} bytes at once from or to {}, which is no multiple of {}", bytes, address, bytes));
}

void set_bytes(void* to, int value, size_t bytes) {
  if (bytes > 0) std::memset(to, value, bytes);
  check_guard_zones();
}

void copy_bytes(void* to, const void* from, size_t bytes) {
  if (bytes > 0) std::memmove(to, from, bytes);
  check_guard_zones();
}

}  // namespace cuda_shim
