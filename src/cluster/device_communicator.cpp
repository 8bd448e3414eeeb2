#include "cluster/device_communicator.h"

#include <cstdlib>
#include <string_view>
#include <utility>

#include "cluster/staged_communicator.h"
#include "device/gpu_library.h"

namespace tessera {

bool nccl_may_share_gpus() {
  const char* value = std::getenv("NCCL_MULTI_RANK_GPU_ENABLE");
  return value != nullptr && std::string_view(value) == "1";
}

std::unique_ptr<Communicator> communicator_for(Device& device, std::unique_ptr<Communicator> group, bool share) {
  if (device.kind() == DeviceKind::cpu || group->size() == 1) return group;
  if (share && !nccl_may_share_gpus()) return std::make_unique<StagedCommunicator>(device, std::move(group));
  using Make = Communicator*(Device&, std::unique_ptr<Communicator> &&);
  return std::unique_ptr<Communicator>(
      GpuLibrary::get().find<Make>("tessera_gpu_make_communicator")(device, std::move(group)));
}

}  // namespace tessera
