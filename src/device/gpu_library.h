#pragma once
#include <string>

namespace tessera {

/// The GPU backend: libtessera_cuda.so, which needs CUDA's libraries, lies beside the program and is opened only if a
/// job may use GPUs. So one program runs on machines with and without them and can report what is missing. Its entry
/// points are extern "C" functions:
///   device room    tessera_gpu_find, tessera_gpu_make_device                          src/device/cuda
///   kernels room   tessera_gpu_check_kernels, tessera_gpu_make_kernels                kernels/cuda
///                  tessera_gpu_check_attention, for tests
///   cluster room   tessera_gpu_check_communicator, tessera_gpu_make_communicator      src/cluster/nccl
class GpuLibrary {
 public:
  /// Opens it the first time. Throws ClusterError if this build has none, or if one of its libraries is missing.
  static const GpuLibrary& get();
  /// Whether the file exists; its libraries may still be missing.
  static bool is_there();
  /// Whether a driver is installed; without one there is no GPU.
  static bool has_driver();

  /// Calls an entry point that throws ClusterError if a library is too old. If the GPU backend is part of the program
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
