#pragma once
#include <mpi.h>

#include <memory>
#include <vector>

#include "cluster/transport.h"

namespace tessera {

/// Owns an MPI communicator, whose errors come back as results instead of ending the process.
class MpiGroup {
 public:
  static MpiGroup duplicate(MPI_Comm of);
  static MpiGroup of_members(MPI_Comm of, const std::vector<int>& members);
  static MpiGroup of_this_host(MPI_Comm of);
  ~MpiGroup();
  MpiGroup(MpiGroup&& other) noexcept;
  MpiGroup& operator=(MpiGroup&&) = delete;

  MPI_Comm get() const { return group_; }
  int rank() const;
  int size() const;

 private:
  explicit MpiGroup(MPI_Comm group);
  MPI_Comm group_;
};

/// MPI's non-blocking messages.  Each lane has an MPI communicator of its own.
class MpiTransport final : public Transport {
 public:
  MpiTransport(MpiGroup stream_lane, MpiGroup control_lane, std::vector<Peer> peers);

  std::unique_ptr<Messages> open(Lane lane) override;
  std::unique_ptr<Transport> subgroup(const std::vector<int>& members) override;

 private:
  MpiGroup stream_lane_;
  MpiGroup control_lane_;
};

}  // namespace tessera
