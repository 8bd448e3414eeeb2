#include "device/gpu_library.h"

#include <dlfcn.h>

#include <filesystem>

#include "base/error.h"
#include "device/device.h"

namespace tessera {
namespace {

constexpr const char* file_name = "libtessera_cuda.so";
constexpr const char* first_entry = "tessera_gpu_find";

/// Beside the program, or in the lib folder of a bundle, whose programs lie in libexec but for `train`; empty where it
/// is in neither.
std::filesystem::path find_library() {
  const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  for (const auto& path : {folder / file_name, folder / "lib" / file_name, folder / ".." / "lib" / file_name})
    if (std::filesystem::exists(path)) return path;
  return {};
}

/// Linked into the program itself where there is no CUDA to load: its kernels run on the CPU then (test/cuda_shim).
bool is_inside() { return dlsym(RTLD_DEFAULT, first_entry) != nullptr; }

void* open_library() {
  if (is_inside()) return RTLD_DEFAULT;
  // Asked first: opening CUDA's libraries takes long, and most machines without a GPU have no driver.
  if (!GpuLibrary::has_driver())
    throw ClusterError("no NVIDIA driver on this host (libcuda.so.1); install one, or set device.type = cpu");
  const std::filesystem::path path = find_library();
  if (path.empty())
    throw ClusterError("this build has no GPU backend ({} is not beside the program); build where nvcc is installed",
                       file_name);
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr)
    throw ClusterError(
        "the GPU backend cannot be loaded: {}. It searches for its libraries (cuBLAS and NVRTC of CUDA 13, cuDNN 9, "
        "NCCL 2) beside itself, in /usr/local/cuda/lib64 and in LD_LIBRARY_PATH. Install them, or set device.type = "
        "cpu",
        dlerror());
  return handle;
}

}  // namespace

GpuLibrary::GpuLibrary() : handle_(open_library()) {}

bool GpuLibrary::has_driver() { return is_inside() || dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) != nullptr; }

bool GpuLibrary::is_there() { return is_inside() || !find_library().empty(); }

const GpuLibrary& GpuLibrary::get() {
  static const GpuLibrary library;
  return library;
}

void* GpuLibrary::symbol(const char* name) const {
  void* const found = dlsym(handle_, name);
  if (found == nullptr)
    throw ClusterError("{} has another version than the program: it has no {}; build both together", file_name, name);
  return found;
}

void GpuLibrary::check(const char* name) const {
  if (!is_inside()) find<void()>(name)();
}

std::vector<std::string> find_gpus() {
  std::vector<std::string> uuids;
  GpuLibrary::get().check("tessera_gpu_check_kernels");
  GpuLibrary::get().find<void(std::vector<std::string>&)>("tessera_gpu_find")(uuids);
  return uuids;
}

std::unique_ptr<Device> make_cuda_device(int index) {
  return std::unique_ptr<Device>(GpuLibrary::get().find<Device*(int)>("tessera_gpu_make_device")(index));
}

}  // namespace tessera
