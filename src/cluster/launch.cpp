#include "cluster/launch.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string_view>

#include "base/error.h"
#include "cluster/environment.h"

namespace tessera {
namespace {

constexpr const char* include_variable = "OMPI_MCA_btl_tcp_if_include";
constexpr const char* exclude_variable = "OMPI_MCA_btl_tcp_if_exclude";

void set_default(const char* variable, const std::string& value) { setenv(variable, value.c_str(), /*overwrite=*/0); }

bool has_fabric() {
  constexpr std::array classes = {"/sys/class/infiniband", "/sys/class/cxi"};
  return std::any_of(classes.begin(), classes.end(), [](const char* path) { return std::filesystem::exists(path); });
}

/// Open MPI uses UCX if there is a fabric, unless set otherwise.
bool uses_ucx() {
  const char* pml = std::getenv("OMPI_MCA_pml");
  return pml == nullptr || std::string_view(pml).find("ob1") == std::string_view::npos;
}

/// Some containers forbid reading another process's memory.
bool may_read_process_memory() {
  char from = 1, to = 0;
  const iovec local{&to, 1}, remote{&from, 1};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1;
}

}  // namespace

bool started_by_launcher() { return is_set("OMPI_COMM_WORLD_SIZE") || is_set("PMIX_RANK") || is_set("PMI_RANK"); }

int launched_rank() {
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"})
    if (const char* value = std::getenv(variable)) return static_cast<int>(std::strtol(value, nullptr, 10));
  return 0;
}

std::string this_host() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  const std::string host = name.data();
  return host.substr(0, host.find('.'));  // "node4" of "node4.cluster.example"
}

void prepare_environment(const std::string& interface) {
  // A rank that waits inside MPI itself, in MPI_Finalize for one, lets the other threads of its core run.
  set_default("OMPI_MCA_mpi_yield_when_idle", "1");
  // Looking for fabrics takes most of MPI_Init (0.2 of 0.24 s); without one, ob1 over shared memory and TCP is what
  // Open MPI would choose in the end.
  if (!has_fabric()) set_default("OMPI_MCA_pml", "ob1");
  // Ranks of one host read each other's memory; where that is forbidden Open MPI would complain at every message.
  if (!may_read_process_memory()) set_default("OMPI_MCA_btl_vader_single_copy_mechanism", "none");
  // MPI is given host memory alone, also by code that CUDA runs on its stream, where asking CUDA whose it is could
  // hang.
  set_default("OMPI_MCA_opal_cuda_support", "0");
  set_default("OMPI_MCA_accelerator", "null");  // the same for Open MPI 5
  // UCX would ask as well.
  if (uses_ucx()) {
    set_default("UCX_MEMTYPE_CACHE", "n");
    set_default("UCX_TLS", "^cuda");
  }
  // Hosts without a GPU's driver are no reason for a warning.
  set_default("OMPI_MCA_opal_warn_on_missing_libcuda", "0");
  // NVLink switches add in no fixed order; the same job is to give the same bits again.
  set_default("NCCL_NVLS_ENABLE", "0");
  if (interface.empty()) return;
  set_default(include_variable, interface);
  set_default("NCCL_SOCKET_IFNAME", "=" + interface);  // "=": this one, and none that begins like it
}

void suggest_interfaces_to_nccl(const std::string& connected) {
  std::string names;
  std::istringstream interfaces(connected);
  for (std::string name, address; interfaces >> name >> address;) names += (names.empty() ? "=" : ",") + name;
  if (!names.empty()) set_default("NCCL_SOCKET_IFNAME", names);
}

void check_interface_in_environment(const std::string& interface) {
  for (const char* variable : {include_variable, exclude_variable}) {
    const char* value = std::getenv(variable);
    if (value == nullptr || (variable == include_variable && value == interface)) continue;
    throw JobError(
        "[network] interface is {}, but the environment or mpirun --mca sets {} to {}; remove one of the two",
        interface, std::string_view(variable).substr(9), value);
  }
}

}  // namespace tessera
