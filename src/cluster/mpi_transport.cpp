#include "cluster/mpi_transport.h"

#include <string>
#include <utility>

#include "base/error.h"
#include "base/number.h"
#include "cluster/mpi_check.h"

namespace tessera {

void check_mpi(int result, std::string_view call) {
  if (result == MPI_SUCCESS) return;
  char reason[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(result, reason, &length);
  throw ClusterError("{}: {}. The network or a rank failed. Check the logs of the hosts, then run the job again.", call,
                     reason);
}

MpiGroup::MpiGroup(MPI_Comm group) : group_(group) {
  check_mpi(MPI_Comm_set_errhandler(group_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
}

MpiGroup::MpiGroup(MpiGroup&& other) noexcept : group_(std::exchange(other.group_, MPI_COMM_NULL)) {}

MpiGroup::~MpiGroup() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (group_ != MPI_COMM_NULL && finalized == 0) MPI_Comm_free(&group_);
}

MpiGroup MpiGroup::duplicate(MPI_Comm of) {
  MPI_Comm group = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(of, &group), "MPI_Comm_dup");
  return MpiGroup(group);
}

MpiGroup MpiGroup::of_members(MPI_Comm of, const std::vector<int>& members) {
  MPI_Group all = MPI_GROUP_NULL, chosen = MPI_GROUP_NULL;
  MPI_Comm group = MPI_COMM_NULL;
  check_mpi(MPI_Comm_group(of, &all), "MPI_Comm_group");
  check_mpi(MPI_Group_incl(all, narrow<int>(members.size()), members.data(), &chosen), "MPI_Group_incl");
  check_mpi(MPI_Comm_create_group(of, chosen, 0, &group), "MPI_Comm_create_group");
  MPI_Group_free(&chosen);
  MPI_Group_free(&all);
  return MpiGroup(group);
}

MpiGroup MpiGroup::of_this_host(MPI_Comm of) {
  MPI_Comm group = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(of, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &group), "MPI_Comm_split_type");
  return MpiGroup(group);
}

int MpiGroup::rank() const {
  int rank = 0;
  check_mpi(MPI_Comm_rank(group_, &rank), "MPI_Comm_rank");
  return rank;
}

int MpiGroup::size() const {
  int size = 0;
  check_mpi(MPI_Comm_size(group_, &size), "MPI_Comm_size");
  return size;
}

namespace {

/// One tag is enough: MPI keeps the order of the messages between two ranks of a communicator.
constexpr int message_tag = 1;

class MpiMessages final : public Messages {
 public:
  explicit MpiMessages(MPI_Comm group) : group_(group) {}
  MpiMessages(const MpiMessages&) = delete;
  MpiMessages& operator=(const MpiMessages&) = delete;
  ~MpiMessages() override {
    for (MPI_Request& request : requests_) {
      if (request == MPI_REQUEST_NULL) continue;
      MPI_Cancel(&request);
      MPI_Request_free(&request);
    }
  }

  void send(int peer, const void* data, int64_t bytes, int64_t ticket) override {
    MPI_Request& request = keep({ticket, -1});
    check_mpi(MPI_Isend(data, narrow<int>(bytes), MPI_BYTE, peer, message_tag, group_, &request), "MPI_Isend");
  }

  void receive(int peer, void* data, int64_t bytes, int64_t ticket) override {
    MPI_Request& request = keep({ticket, narrow<int>(bytes)});
    check_mpi(MPI_Irecv(data, narrow<int>(bytes), MPI_BYTE, peer, message_tag, group_, &request), "MPI_Irecv");
  }

  void poll(std::vector<int64_t>& finished) override {
    if (requests_.empty()) return;
    int count = 0;
    const int result =
        MPI_Testsome(narrow<int>(requests_.size()), requests_.data(), &count, indices_.data(), statuses_.data());
    check_results(result, count);
    if (count <= 0) return;
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
      const Expected& expected = expected_[static_cast<size_t>(indices_[i])];
      check_size(expected, statuses_[i]);
      finished.push_back(expected.ticket);
    }
    forget_finished();
  }

 private:
  struct Expected {
    int64_t ticket;
    int bytes;  // of a receive; −1 for a send
  };

  MPI_Request& keep(Expected expected) {
    requests_.push_back(MPI_REQUEST_NULL);
    expected_.push_back(expected);
    indices_.resize(requests_.size());
    statuses_.resize(requests_.size());
    return requests_.back();
  }

  void check_results(int result, int count) const {
    if (result != MPI_ERR_IN_STATUS) return check_mpi(result, "MPI_Testsome");
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) check_mpi(statuses_[i].MPI_ERROR, "a message");
  }

  static void check_size(const Expected& expected, const MPI_Status& status) {
    if (expected.bytes < 0) return;
    int received = 0;
    check_mpi(MPI_Get_count(&status, MPI_BYTE, &received), "MPI_Get_count");
    if (received != expected.bytes) {
      throw ClusterError(
          "received a message of {} bytes, expected {}: the ranks are not at the same step of the same job. Check that "
          "every host has the same program and the same job file.",
          received, expected.bytes);
    }
  }

  void forget_finished() {
    size_t kept = 0;
    for (size_t i = 0; i < requests_.size(); ++i) {
      if (requests_[i] == MPI_REQUEST_NULL) continue;
      requests_[kept] = requests_[i];
      expected_[kept++] = expected_[i];
    }
    requests_.resize(kept);
    expected_.resize(kept);
  }

  MPI_Comm group_;
  std::vector<MPI_Request> requests_;
  std::vector<Expected> expected_;  // beside requests_
  std::vector<int> indices_;        // room for MPI_Testsome's answers
  std::vector<MPI_Status> statuses_;
};

}  // namespace

MpiTransport::MpiTransport(MpiGroup stream_lane, MpiGroup control_lane, std::vector<Peer> peers)
    : Transport(control_lane.rank(), std::move(peers)),
      stream_lane_(std::move(stream_lane)),
      control_lane_(std::move(control_lane)) {}

std::unique_ptr<Messages> MpiTransport::open(Lane lane) {
  return std::make_unique<MpiMessages>((lane == Lane::stream ? stream_lane_ : control_lane_).get());
}

std::unique_ptr<Transport> MpiTransport::subgroup(const std::vector<int>& members) {
  MpiGroup control = MpiGroup::of_members(control_lane_.get(), members);
  MpiGroup stream = MpiGroup::duplicate(control.get());
  std::vector<Peer> chosen;
  chosen.reserve(members.size());
  for (const int member : members) chosen.push_back(peers()[static_cast<size_t>(member)]);
  return std::make_unique<MpiTransport>(std::move(stream), std::move(control), std::move(chosen));
}

}  // namespace tessera
