#include "cluster/cluster.h"

#include <mpi.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/number.h"
#include "cluster/agree.h"
#include "cluster/binding.h"
#include "cluster/launch.h"
#include "cluster/message_communicator.h"
#include "cluster/mpi_check.h"
#include "cluster/mpi_transport.h"
#include "cluster/network.h"
#include "cluster/start_up.h"
#include "cluster/transport.h"

namespace tessera {
namespace {

std::vector<std::string> gather_hosts(MPI_Comm group, int size) {
  constexpr int longest_name = 256;
  std::array<char, longest_name> own{};
  this_host().copy(own.data(), own.size() - 1);
  std::vector<char> all(static_cast<size_t>(size) * longest_name);
  check_mpi(MPI_Allgather(own.data(), longest_name, MPI_CHAR, all.data(), longest_name, MPI_CHAR, group),
            "MPI_Allgather");
  std::vector<std::string> hosts;
  hosts.reserve(static_cast<size_t>(size));
  for (int r = 0; r < size; ++r) hosts.emplace_back(&all[static_cast<size_t>(r) * longest_name]);
  return hosts;
}

std::vector<Peer> peers_of(const std::vector<std::string>& hosts) {
  std::vector<Peer> peers;
  peers.reserve(hosts.size());
  for (const std::string& host : hosts) peers.push_back({narrow<int>(peers.size()), host});
  return peers;
}

/// A host without the interface cannot reach the others, so its ranks exit before MPI starts. They do so in turn:
/// mpirun ends the other ranks when the first one exits with a nonzero code, so there is one message.
void check_interface(const std::string& interface) {
  constexpr std::chrono::seconds turn(4);  // mpirun takes three until SIGTERM
  try {
    check_network_interface(interface, this_host());
    check_interface_in_environment(interface);
  } catch (const JobError&) {
    std::this_thread::sleep_for(turn * std::min(launched_rank(), 8));
    if (signals::stop_requested())
      throw FailedElsewhere(ExitCode::wrong_job);  // mpirun ends this rank after another rank has printed the error
    throw;
  }
}

void init_mpi(int* argc, char*** argv) {
  int provided = MPI_THREAD_SINGLE;
  check_mpi(MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  if (provided != MPI_THREAD_MULTIPLE) {
    throw ClusterError("this MPI library does not support MPI_THREAD_MULTIPLE; use Open MPI 4 or 5");
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

Cluster::Cluster(int* argc, char*** argv, const ClusterSettings& settings, StartUpWatch* start)
    : state_(std::make_unique<State>()) {
  const auto waits_for = [&](const char* what) {
    if (start != nullptr) start->waits_for(what);
  };
  if (!settings.interface.empty()) check_interface(settings.interface);
  if (started_by_launcher()) {
    prepare_environment(settings.interface);
    undo_binding_to_one_core();
    waits_for("every rank to reach MPI_Init");
    init_mpi(argc, argv);
    state_->has_mpi = true;
    waits_for("every rank to return from MPI_Init and send its host name");
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

std::string prefix_before_mpi() {
  return started_by_launcher() ? fmt::format("rank {} ({}): ", launched_rank(), this_host()) : "";
}
std::string Cluster::prefix() const { return size() == 1 ? "" : fmt::format("rank {} ({}): ", rank(), host()); }

std::string Cluster::describe_network() {
  const std::set<std::string> different(hosts().begin(), hosts().end());
  if (different.size() == 1) return "";
  std::set<std::string> own;
  for (const auto& [name, address] : connected_interfaces()) own.insert(fmt::format("{} {}", name, address));
  if (own.empty()) {  // MPI goes another way, over InfiniBand for one
    const auto other = std::find_if(hosts().begin(), hosts().end(), [&](const auto& each) { return each != host(); });
    if (const auto found = interface_towards(*other)) own.insert(fmt::format("{} {}", found->name, found->address));
  }
  std::array<char, 256> line{};
  fmt::format("{}", fmt::join(own, ", ")).copy(line.data(), line.size() - 1);
  std::vector<std::array<char, 256>> all(static_cast<size_t>(size()));
  state_->world->all_gather_host(line.data(), all.data(), sizeof line, "the hosts' interfaces");

  std::vector<std::string> lines;  // a host once; its first rank that has a connection speaks for it
  std::set<std::string> told;
  for (size_t r = 0; r < all.size(); ++r) {
    if (all[r][0] == '\0' || !told.insert(hosts()[r]).second) continue;
    lines.push_back(fmt::format("{} {}", hosts()[r], all[r].data()));
    if (hosts()[r] == host()) suggest_interfaces_to_nccl(all[r].data());
  }
  return fmt::format("{}", fmt::join(lines, ", "));
}

void Cluster::abort(int exit_code) {
  std::fflush(nullptr);
  if (state_->has_mpi) MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

}  // namespace tessera
