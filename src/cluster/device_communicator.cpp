#include "cluster/device_communicator.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string_view>
#include <utility>

#include "cluster/network.h"
#include "cluster/staged_communicator.h"
#include "device/gpu_library.h"

namespace tessera {

bool nccl_may_share_gpus() {
  const char* value = std::getenv("NCCL_MULTI_RANK_GPU_ENABLE");
  return value != nullptr && std::string_view(value) == "1";
}

void check_gpu_communicator() { GpuLibrary::get().check("tessera_gpu_check_communicator"); }

std::string describe_nccl_network() {
  const auto set_to = [](const char* variable) {
    const char* value = std::getenv(variable);
    return std::string(value != nullptr ? value : "");
  };
  const std::string sockets = set_to("NCCL_SOCKET_IFNAME"), wanted = set_to("NCCL_IB_HCA");
  std::string text =
      sockets.empty()
          ? "NCCL's sockets: interface chosen by NCCL (set NCCL_SOCKET_IFNAME or [network] interface to change it)"
          : "NCCL's sockets: " + sockets;
  const auto fabric = fabric_devices();
  if (fabric.empty()) return text + "; data over the same sockets";
  if (set_to("NCCL_IB_DISABLE") == "1") return text + "; data over the same sockets (NCCL_IB_DISABLE = 1)";
  return text + fmt::format("; data over InfiniBand or RoCE: {}{}", fmt::join(fabric, ", "),
                            wanted.empty() ? "" : ", of which NCCL_IB_HCA = " + wanted);
}

std::unique_ptr<Communicator> communicator_for(Device& device, std::unique_ptr<Communicator> group,
                                               const CommunicatorSettings& settings) {
  if (device.kind() == DeviceKind::cpu || group->size() == 1) return group;
  if (settings.share && !nccl_may_share_gpus()) return std::make_unique<StagedCommunicator>(device, std::move(group));
  using Make = Communicator*(Device&, std::unique_ptr<Communicator>&&, int max_ctas);
  return std::unique_ptr<Communicator>(
      GpuLibrary::get().find<Make>("tessera_gpu_make_communicator")(device, std::move(group), settings.nccl_max_ctas));
}

}  // namespace tessera
