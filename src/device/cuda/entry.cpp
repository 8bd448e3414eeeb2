#include "base/error.h"
#include "device/cuda/check.h"
#include "device/cuda/cuda_device.h"

// The device room's entry points of libtessera_cuda.so (gpu_library.h).

using namespace tessera;

extern "C" int tessera_gpu_count() {
  int driver = 0, runtime = 0, count = 0;
  cuda::check(cudaDriverGetVersion(&driver), "asking for the driver's version");
  cuda::check(cudaRuntimeGetVersion(&runtime), "asking for CUDA's version");
  if (driver == 0) throw ClusterError("there is no NVIDIA driver here; install one, or set device.type = cpu");
  if (driver / 1000 < runtime / 1000)
    throw ClusterError("the NVIDIA driver serves CUDA {}.{}, this build needs {}; install a newer driver",
                       driver / 1000, driver % 1000 / 10, runtime / 1000);
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorNoDevice) {
    cudaGetLastError();
    return 0;
  }
  cuda::check(error, "counting GPUs");
  return count;
}

extern "C" Device* tessera_gpu_make_device(int index) { return new CudaDevice(index); }
