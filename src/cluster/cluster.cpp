#include "cluster/cluster.h"

#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/number.h"
#include "cluster/launch.h"
#include "cluster/message_communicator.h"
#include "cluster/mpi_check.h"
#include "cluster/mpi_transport.h"
#include "cluster/transport.h"

namespace tessera {
namespace {

/// "node4" of "node4.cluster.example".
std::string short_name(const std::string& host) { return host.substr(0, host.find('.')); }

std::string this_host() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return short_name(name.data());
}

std::vector<std::string> gather_hosts(MPI_Comm group, int size) {
  constexpr int kLength = 256;
  std::array<char, kLength> own{};
  this_host().copy(own.data(), own.size() - 1);
  std::vector<char> all(static_cast<size_t>(size) * kLength);
  check_mpi(MPI_Allgather(own.data(), kLength, MPI_CHAR, all.data(), kLength, MPI_CHAR, group), "MPI_Allgather");
  std::vector<std::string> hosts;
  hosts.reserve(static_cast<size_t>(size));
  for (int r = 0; r < size; ++r) hosts.emplace_back(&all[static_cast<size_t>(r) * kLength]);
  return hosts;
}

std::vector<Peer> peers_of(const std::vector<std::string>& hosts) {
  std::vector<Peer> peers;
  peers.reserve(hosts.size());
  for (const std::string& host : hosts) peers.push_back({narrow<int>(peers.size()), host});
  return peers;
}

void init_mpi(int* argc, char*** argv) {
  int provided = MPI_THREAD_SINGLE;
  check_mpi(MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  if (provided != MPI_THREAD_MULTIPLE) {
    throw ClusterError(
        "this MPI library does not let several threads call it (MPI_THREAD_MULTIPLE); use Open MPI 4 or 5");
  }
}

}  // namespace

struct Cluster::State {
  bool has_mpi = false;
  int local_rank = 0;
  int local_size = 1;
  std::vector<std::string> hosts;
  std::unique_ptr<Communicator> world;
};

Cluster::Cluster(int* argc, char*** argv, const ClusterSettings& settings) : state_(std::make_unique<State>()) {
  if (started_by_launcher()) {
    prepare_environment(settings.interface);
    undo_default_binding();
    init_mpi(argc, argv);
    state_->has_mpi = true;
    MpiGroup control = MpiGroup::duplicate(MPI_COMM_WORLD);
    MpiGroup stream = MpiGroup::duplicate(MPI_COMM_WORLD);
    const MpiGroup local = MpiGroup::of_this_host(control.get());
    state_->local_rank = local.rank();
    state_->local_size = local.size();
    state_->hosts = gather_hosts(control.get(), control.size());
    state_->world = std::make_unique<MessageCommunicator>(
        std::make_unique<MpiTransport>(std::move(stream), std::move(control), peers_of(state_->hosts)));
  } else {
    state_->hosts = {this_host()};
    state_->world = std::make_unique<MessageCommunicator>(std::make_unique<LoneTransport>(Peer{0, this_host()}));
  }
  state_->world->set_timeout(settings.timeout_seconds);
}

Cluster::~Cluster() {
  const bool has_mpi = state_->has_mpi;
  state_.reset();
  if (has_mpi) MPI_Finalize();
}

int Cluster::rank() const { return state_->world->rank(); }
int Cluster::size() const { return state_->world->size(); }
int Cluster::local_rank() const { return state_->local_rank; }
int Cluster::local_size() const { return state_->local_size; }
const std::string& Cluster::host() const { return state_->hosts[static_cast<size_t>(rank())]; }
const std::vector<std::string>& Cluster::hosts() const { return state_->hosts; }
Communicator& Cluster::world() { return *state_->world; }

std::string Cluster::prefix() const { return size() == 1 ? "" : fmt::format("rank {} ({}): ", rank(), host()); }

void Cluster::configure(const ClusterSettings& settings) {
  if (!settings.interface.empty() && !std::filesystem::exists("/sys/class/net/" + settings.interface)) {
    throw JobError("[network] interface: host {} has no network interface {}; `ip -br link` names those it has", host(),
                   settings.interface);
  }
  state_->world->set_timeout(settings.timeout_seconds);
}

void Cluster::abort(int exit_code) {
  std::fflush(nullptr);
  if (state_->has_mpi) MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

}  // namespace tessera
