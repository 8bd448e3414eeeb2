#include "base/error.h"
#include "device/cuda/check.h"
#include "device/cuda/cuda_device.h"

// The device room's entry points of libtessera_cuda.so (gpu_library.h).

using namespace tessera;

extern "C" void tessera_gpu_find(std::vector<std::string>& uuids) {
  int driver = 0, runtime = 0, count = 0;
  cuda::check(cudaDriverGetVersion(&driver), "asking for the driver's version");
  cuda::check(cudaRuntimeGetVersion(&runtime), "asking for CUDA's version");
  if (driver == 0) throw ClusterError("no NVIDIA driver on this host; install one, or set device.type = cpu");
  if (driver / 1000 < runtime / 1000)
    throw ClusterError("the NVIDIA driver supports CUDA {}.{}; this build needs {}. Install a newer driver",
                       driver / 1000, driver % 1000 / 10, runtime / 1000);
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorNoDevice) {
    cudaGetLastError();
    return;
  }
  cuda::check(error, "counting GPUs");
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    cuda::check(cudaGetDeviceProperties(&properties, index), "asking a GPU for its UUID");
    uuids.emplace_back(properties.uuid.bytes, sizeof properties.uuid.bytes);
  }
}

extern "C" Device* tessera_gpu_make_device(int index) { return new CudaDevice(index); }
