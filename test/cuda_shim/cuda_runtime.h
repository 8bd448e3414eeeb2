#pragma once
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <tuple>
#include <type_traits>

#include "cuda_shim/execution.h"

/// Stands in for CUDA's header of this name, so that the kernels of kernels/cuda run on the CPU: the part of CUDA that
/// they use, and its rules.  A kernel that breaks one ends in an error that names it (cuda_shim::Fault), where a GPU
/// might only hang or compute nonsense.

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
/// In one section, which execution.cpp fills with NaNs before each block.
#define __shared__ static __attribute__((section("cuda_shared")))

// ---- vector types: copied only from and to addresses that are multiples of their size ----

struct alignas(8) float2 : cuda_shim::OnlyAligned<8> {
  float x, y;
};
struct alignas(8) uint2 : cuda_shim::OnlyAligned<8> {
  unsigned x, y;
};
struct alignas(16) float4 : cuda_shim::OnlyAligned<16> {
  float x, y, z, w;
};
struct alignas(16) uint4 : cuda_shim::OnlyAligned<16> {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {{}, x, y}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {{}, x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {{}, x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {{}, x, y, z, w}; }

// ---- what a kernel calls ----

inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline double __longlong_as_double(long long bits) { return std::bit_cast<double>(bits); }
template <typename T>
T min(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
T max(T a, T b) {
  return a < b ? b : a;
}

inline void __syncthreads(std::source_location at = std::source_location::current()) { cuda_shim::sync_threads(at); }
inline void __syncwarp(unsigned mask = 0xffffffff, std::source_location at = std::source_location::current()) {
  cuda_shim::warp_call({cuda_shim::WarpCall::sync, mask, 0, threadIdx.x % 32}, at);
}

namespace cuda_shim {
/// The value of lane `source` of the `width` lanes that the caller's belongs to; the caller's own outside them.
template <typename T>
T shuffle(unsigned mask, T value, int source, int width, std::source_location at) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  const int lane = lane_of_caller(), first = lane / width * width;
  const bool inside = source >= first && source < first + width;
  const uint64_t bits = warp_call(
      {WarpCall::shuffle, mask, std::bit_cast<Bits>(value), static_cast<unsigned>(inside ? source : lane)}, at);
  return std::bit_cast<T>(static_cast<Bits>(bits));
}
}  // namespace cuda_shim

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              std::source_location at = std::source_location::current()) {
  const int first = cuda_shim::lane_of_caller() / width * width;
  return cuda_shim::shuffle(mask, value, first + source % width, width, at);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int other, int width = 32,
                  std::source_location at = std::source_location::current()) {
  return cuda_shim::shuffle(mask, value, cuda_shim::lane_of_caller() ^ other, width, at);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32,
                   std::source_location at = std::source_location::current()) {
  return cuda_shim::shuffle(mask, value, cuda_shim::lane_of_caller() + static_cast<int>(distance), width, at);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, std::source_location at = std::source_location::current()) {
  return static_cast<unsigned>(
      cuda_shim::warp_call({cuda_shim::WarpCall::ballot, mask, predicate != 0 ? 1u : 0u, 0}, at));
}

// ---- the runtime: one GPU, whose streams are threads; what has no stream is done at once ----

enum cudaError_t {
  cudaSuccess,
  cudaErrorInvalidValue,
  cudaErrorInvalidConfiguration,
  cudaErrorMemoryAllocation,
  cudaErrorNoDevice,
  cudaErrorIllegalAddress,
  cudaErrorNotReady
};
inline const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorNotReady:
      return "device not ready";
  }
  return "unknown error";
}
inline cudaError_t cudaGetLastError() { return cudaSuccess; }

using cudaStream_t = struct CUstream_st*;
namespace cuda_shim {
/// What the work throws, cudaStreamSynchronize throws.
void enqueue(cudaStream_t stream, std::function<void()> work);
/// In a stream's work: what timestamps tell is so much later from here on, without anybody waiting.
void let_time_pass(double seconds);

/// As after a kernel's illegal access: nobody is waited for any more, and what runs on the host runs on.
void break_gpu(bool so);
/// How often a stream was to be waited for since.
int waits_for_broken_gpu();
}  // namespace cuda_shim

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  void* attrs = nullptr;
  unsigned numAttrs = 0;
};

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
template <typename... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute, int bytes) {
  const bool done = cuda_shim::allow_shared_memory(reinterpret_cast<void (*)()>(kernel), bytes);
  return done ? cudaSuccess : cudaErrorInvalidValue;
}

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const cuda_shim::Grid grid{config->gridDim, config->blockDim, config->dynamicSmemBytes};
  if (!cuda_shim::possible(grid)) return cudaErrorInvalidConfiguration;
  if (!cuda_shim::enough_shared_memory(reinterpret_cast<void (*)()>(kernel), grid)) return cudaErrorInvalidValue;
  cuda_shim::enqueue(config->stream, [grid, kernel, copies = std::tuple<Parameters...>(arguments...)] {
    cuda_shim::run_grid(grid, [&] { std::apply(kernel, copies); });
  });
  return cudaSuccess;
}

// What the project calls of the rest of it (runtime.cpp).

struct cudaUUID_t {
  char bytes[16];
};
struct cudaDeviceProp {
  char name[256];
  cudaUUID_t uuid;
  size_t totalGlobalMem;
  int major, minor;
  int multiProcessorCount;
};
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
constexpr unsigned cudaDeviceScheduleBlockingSync = 4, cudaInitDeviceFlagsAreValid = 1;
cudaError_t cudaInitDevice(int device, unsigned device_flags, unsigned flags);
cudaError_t cudaGetDevice(int* device);
enum cudaDeviceAttr { cudaDevAttrMaxSharedMemoryPerBlockOptin = 97 };
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetPCIBusId(char* address, int length, int device);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest);

constexpr unsigned cudaHostAllocPortable = 1;
enum cudaMemcpyKind { cudaMemcpyDeviceToDevice = 3, cudaMemcpyDefault = 4 };
cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemset(void* to, int value, size_t bytes);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaMemset2DAsync(void* to, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream);

constexpr unsigned cudaStreamNonBlocking = 1;
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
using cudaHostFn_t = void (*)(void*);
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t work, void* argument);

using cudaEvent_t = struct CUevent_st*;
constexpr unsigned cudaEventDefault = 0, cudaEventBlockingSync = 1, cudaEventDisableTiming = 2;
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
