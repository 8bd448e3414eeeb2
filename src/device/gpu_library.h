#pragma once
#include <string>

namespace tessera {

/// The part of the program that needs CUDA's libraries: libtessera_cuda.so, which lies beside the program and is opened
/// only where a job may use GPUs.  So one program runs on machines with and without them, and what is missing is told
/// in words.  Its entry points are extern "C" functions:
///   device room    tessera_gpu_find, tessera_gpu_make_device                          src/device/cuda
///   kernels room   tessera_gpu_check_kernels, tessera_gpu_make_kernels                kernels/cuda
///                  tessera_gpu_check_attention, for tests
///   cluster room   tessera_gpu_check_communicator, tessera_gpu_make_communicator      src/cluster/nccl
class GpuLibrary {
 public:
  /// Opens it the first time.  Throws ClusterError where this build has none, or one of its libraries is missing.
  static const GpuLibrary& get();
  /// Whether there is such a file; what it needs may still be missing.
  static bool is_there();
  /// Whether a driver is installed, without which there is no GPU to ask for.
  static bool has_driver();

  /// Calls an entry point that throws ClusterError where a library is too old.  Where the GPU part lies in the program
  /// itself (test/cuda_shim) there are no libraries.
  void check(const char* name) const;

  template <typename Function>
  Function* find(const char* name) const {
    return reinterpret_cast<Function*>(symbol(name));
  }

 private:
  GpuLibrary();
  void* symbol(const char* name) const;

  void* handle_;
};

}  // namespace tessera
