#include <cuda_runtime.h>

#include <catch2/catch.hpp>
#include <memory>
#include <numeric>
#include <vector>

#include "cuda_shim/memory.h"
#include "kernels/cuda/launch.h"

// The shim keeps to the rules of a GPU, and says which one a kernel broke.
namespace tessera::test {
namespace {

using Catch::Contains;

/// Device memory of n T's.
template <typename T>
class DeviceMemory {
 public:
  explicit DeviceMemory(size_t n) : data_(static_cast<T*>(cuda_shim::allocate(n * sizeof(T)))) {}
  ~DeviceMemory() { cuda_shim::release(data_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  T* data() const { return data_; }
  T& operator[](size_t i) const { return data_[i]; }

 private:
  T* data_;
};

template <typename... Parameters, typename... Arguments>
void run(dim3 grid, dim3 block, size_t shared_bytes, void (*kernel)(Parameters...), Arguments... arguments) {
  cuda::launch({"the test's kernel", grid, block, shared_bytes, nullptr}, kernel, arguments...);
}

__global__ void number_threads(int* to) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned i = block * blockDim.x * blockDim.y * blockDim.z + thread;
  to[i] = static_cast<int>(i);
}

TEST_CASE("every thread of every block runs once", "[cuda_shim]") {
  const DeviceMemory<int> numbers(720);
  run(dim3(2, 3, 2), dim3(5, 4, 3), 0, number_threads, numbers.data());
  for (int i = 0; i < 720; ++i) REQUIRE(numbers[static_cast<size_t>(i)] == i);
}

__global__ void reverse(int* values) {
  __shared__ int reversed[64];
  reversed[63 - threadIdx.x] = values[threadIdx.x];
  __syncthreads();
  values[threadIdx.x] = reversed[threadIdx.x];
}

TEST_CASE("a barrier makes shared memory of the whole block visible", "[cuda_shim]") {
  const DeviceMemory<int> values(64);
  std::iota(values.data(), values.data() + 64, 0);
  run(1, 64, 0, reverse, values.data());
  for (int i = 0; i < 64; ++i) REQUIRE(values[static_cast<size_t>(i)] == 63 - i);
}

__global__ void reverse_without_barrier(float* values) {
  __shared__ float reversed[64];
  reversed[63 - threadIdx.x] = values[64 * blockIdx.x + threadIdx.x];
  values[64 * blockIdx.x + threadIdx.x] = reversed[threadIdx.x];
}

TEST_CASE("where a barrier is missing NaNs are read, whichever way the data goes", "[cuda_shim]") {
  const DeviceMemory<float> values(128);
  std::iota(values.data(), values.data() + 128, 0.0f);
  run(2, 64, 0, reverse_without_barrier, values.data());
  REQUIRE(std::isnan(values[0]));        // the first block runs its threads upwards
  REQUIRE(std::isnan(values[64 + 63]));  // the second downwards
}

__global__ void half_a_barrier() {
  if (threadIdx.x < 40) __syncthreads();
}
__global__ void two_barriers() {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
}

TEST_CASE("a barrier that some threads never reach is an error", "[cuda_shim]") {
  REQUIRE_THROWS_WITH(run(1, 64, 0, half_a_barrier),
                      Contains("wait for each other for ever: 24 of 64 have ended") && Contains("40 at rules.cpp:"));
}

TEST_CASE("threads that meet at different barriers are an error", "[cuda_shim]") {
  REQUIRE_THROWS_WITH(run(1, 64, 0, two_barriers), Contains("different barriers"));
}

__global__ void half_a_shuffle(int* to) {
  if (threadIdx.x % 2 == 0) to[threadIdx.x] = __shfl_xor_sync(0xffffffff, 1, 1);
}

TEST_CASE("a shuffle that a lane of its mask never reaches is an error", "[cuda_shim]") {
  const DeviceMemory<int> to(32);
  REQUIRE_THROWS_WITH(run(1, 32, 0, half_a_shuffle, to.data()), Contains("wait for each other for ever"));
}

__global__ void shuffle_beyond_the_mask(int* to) {
  if (threadIdx.x < 16) to[threadIdx.x] = __shfl_sync(0x0000ffff, 1, 16);
}
__global__ void shuffle_outside_the_mask(int* to) { to[threadIdx.x] = __shfl_sync(0x0000ffff, 1, 0); }

TEST_CASE("a shuffle that asks or is called by a lane outside its mask is an error", "[cuda_shim]") {
  const DeviceMemory<int> to(32);
  REQUIRE_THROWS_WITH(run(1, 32, 0, shuffle_beyond_the_mask, to.data()), Contains("which is not in the mask"));
  REQUIRE_THROWS_WITH(run(1, 32, 0, shuffle_outside_the_mask, to.data()), Contains("not in its own mask"));
}

__global__ void shuffles(int* to) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int* mine = to + threadIdx.x * 6;
  mine[0] = __shfl_sync(0xffffffff, 100 + lane, 7);
  mine[1] = __shfl_xor_sync(0xffffffff, 100 + lane, 5);
  mine[2] = __shfl_down_sync(0xffffffff, 100 + lane, 3);
  mine[3] = __shfl_sync(0xffffffff, 100 + lane, 2, 8);
  mine[4] = static_cast<int>(__ballot_sync(0xffffffff, lane % 3 == 0));
  if (lane < 16)
    mine[5] = __shfl_xor_sync(0x0000ffff, lane, 1);
  else
    mine[5] = __shfl_xor_sync(0xffff0000, lane, 2);
}

TEST_CASE("warp operations are those of CUDA, for each warp", "[cuda_shim]") {
  const DeviceMemory<int> to(64 * 6);
  run(1, 64, 0, shuffles, to.data());
  unsigned thirds = 0;
  for (unsigned lane = 0; lane < 32; lane += 3) thirds |= 1u << lane;
  for (int thread = 0; thread < 64; ++thread) {
    const int lane = thread % 32;
    const int* mine = to.data() + thread * 6;
    REQUIRE(mine[0] == 107);
    REQUIRE(mine[1] == 100 + (lane ^ 5));
    REQUIRE(mine[2] == 100 + (lane + 3 < 32 ? lane + 3 : lane));
    REQUIRE(mine[3] == 100 + lane / 8 * 8 + 2);
    REQUIRE(static_cast<unsigned>(mine[4]) == thirds);
    REQUIRE(mine[5] == (lane < 16 ? (lane ^ 1) : (lane ^ 2)));
  }
}

__global__ void write_shared_at(int64_t i) { static_cast<float*>(cuda_shim::dynamic_shared())[i] = 1; }

#ifndef __SANITIZE_ADDRESS__  // which ends the program there and then
__global__ void write_at(float* to, int64_t i) { to[i] = 1; }

TEST_CASE("a write outside a piece of device memory is an error", "[cuda_shim]") {
  const DeviceMemory<float> memory(3);
  REQUIRE_THROWS_WITH(run(1, 1, 0, write_at, memory.data(), 3), Contains("written behind"));
  REQUIRE_THROWS_WITH(run(1, 1, 0, write_at, memory.data(), -1), Contains("written before"));
  REQUIRE_NOTHROW(run(1, 1, 0, write_at, memory.data(), 2));
}

TEST_CASE("a write outside the dynamic shared memory is an error", "[cuda_shim]") {
  REQUIRE_NOTHROW(run(1, 1, 12, write_shared_at, 2));
  REQUIRE_THROWS_WITH(run(1, 1, 12, write_shared_at, 3), Contains("written behind"));
}

__global__ void copy_from(const float* from, int64_t i, float* to) { *to = from[i]; }

TEST_CASE("a read outside a piece of device memory gives NaN", "[cuda_shim]") {
  const DeviceMemory<float> memory(3), to(1);
  std::fill_n(memory.data(), 3, 1.0f);
  for (const int64_t i : {-1, 3}) {
    run(1, 1, 0, copy_from, memory.data(), i, to.data());
    REQUIRE(std::isnan(to[0]));
  }
}
#endif

__global__ void copy_four(const float* from, float* to) {
  *reinterpret_cast<float4*>(to) = *reinterpret_cast<const float4*>(from);
}

TEST_CASE("16 bytes at once from or to an address that is no multiple of 16 are an error", "[cuda_shim]") {
  const DeviceMemory<float> from(8), to(8);
  std::fill_n(from.data(), 8, 2.0f);
  REQUIRE_NOTHROW(run(1, 1, 0, copy_four, from.data() + 4, to.data()));
  REQUIRE(to[3] == 2);
  REQUIRE_THROWS_WITH(run(1, 1, 0, copy_four, from.data() + 1, to.data()), Contains("no multiple of 16"));
  REQUIRE_THROWS_WITH(run(1, 1, 0, copy_four, from.data(), to.data() + 2), Contains("no multiple of 16"));
}

__global__ void nothing() {}

TEST_CASE("a grid that no GPU takes is refused, naming the kernel", "[cuda_shim]") {
  REQUIRE_NOTHROW(run(1, 1024, 0, nothing));
  REQUIRE_THROWS_WITH(run(1, 1025, 0, nothing), Contains("the test's kernel: invalid configuration"));
  REQUIRE_THROWS_WITH(run(dim3(1, 65536), 32, 0, nothing), Contains("invalid configuration"));
}

TEST_CASE("launch asks for more than 48 KiB of shared memory, which a kernel does not have by itself", "[cuda_shim]") {
  cudaLaunchConfig_t config{};
  config.dynamicSmemBytes = 50 << 10;
  REQUIRE(cudaLaunchKernelEx(&config, write_shared_at, int64_t{0}) == cudaErrorInvalidValue);
  REQUIRE_NOTHROW(run(1, 1, 50 << 10, write_shared_at, 0));
  REQUIRE_THROWS_WITH(run(1, 1, 100 << 10, write_shared_at, 0), Contains("invalid argument"));
}

__global__ void read_fresh_shared(float* to) {
  to[blockIdx.x] = *static_cast<float*>(cuda_shim::dynamic_shared());
  *static_cast<float*>(cuda_shim::dynamic_shared()) = 1;
}

TEST_CASE("shared memory begins as NaNs in every block", "[cuda_shim]") {
  const DeviceMemory<float> to(2);
  run(2, 1, 4, read_fresh_shared, to.data());
  REQUIRE(std::isnan(to[0]));
  REQUIRE(std::isnan(to[1]));
}

TEST_CASE("no blocks are no work", "[cuda_shim]") { REQUIRE_NOTHROW(run(0, 1, 0, half_a_barrier)); }

}  // namespace
}  // namespace tessera::test
