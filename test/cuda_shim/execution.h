#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <stdexcept>

/// Runs a grid on the calling thread: its blocks one after the other, the threads of a block as fibers that stop only
/// at barriers and at warp operations.  Odd blocks run their threads backwards, so that a missing barrier shows
/// whichever way the data flows.

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1)  // NOLINT(google-explicit-constructor)
      : x(x_), y(y_), z(z_) {}
};
/// Of the thread that runs at the moment.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace cuda_shim {

/// A kernel did what it must not do on a GPU; the grid was given up.
class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Grid {
  dim3 blocks, threads;
  size_t shared_bytes = 0;
};
/// Whether every GPU from sm_80 on takes the grid's sizes.
bool possible(const Grid& grid);

/// The shared memory of sm_89, the least of sm_80, 89, 90 and 100.
constexpr int shared_bytes_asked = 99 << 10;
/// A kernel may have 48 KiB of dynamic shared memory, and more after it asked for it here; false where that is more
/// than the smallest GPU has.
bool allow_shared_memory(void (*kernel)(), int bytes);
bool enough_shared_memory(void (*kernel)(), const Grid& grid);

/// One grid at a time, whichever threads call.  Throws Fault, and what `thread` throws.
void run_grid(const Grid& grid, const std::function<void()>& thread);

// ---- inside a kernel ----

/// The block's dynamic shared memory.
void* dynamic_shared();

void sync_threads(std::source_location at);

/// What a lane brings to an operation of its warp.
struct WarpCall {
  enum Kind : uint8_t { sync, shuffle, ballot } kind;
  unsigned mask;
  uint64_t value;
  unsigned source;  // the lane whose value it wants
};
/// Returns when every lane of the mask has come here with the same mask.
uint64_t warp_call(const WarpCall& call, std::source_location at);
int lane_of_caller();

[[noreturn]] void report_misaligned(const void* address, size_t bytes);

/// Base of the vector types.
template <size_t bytes>
struct OnlyAligned {
  OnlyAligned() = default;
  OnlyAligned(const OnlyAligned& other) { check(&other); }
  OnlyAligned& operator=(const OnlyAligned& other) {
    check(this);
    check(&other);
    return *this;
  }

 private:
  static void check(const void* address) {
    auto number = reinterpret_cast<uintptr_t>(address);
    asm("" : "+r"(number));  // or the compiler takes the alignment of the type for granted
    if (number % bytes != 0) report_misaligned(address, bytes);
  }
};

// ---- not kernels, but on the stream ----

void set_bytes(void* to, int value, size_t bytes);
void copy_bytes(void* to, const void* from, size_t bytes);

}  // namespace cuda_shim
