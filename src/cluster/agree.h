#pragma once
#include <functional>
#include <string>

#include "base/error.h"
#include "cluster/communicator.h"

namespace tessera {

/// Another rank has the error and prints it: main exits with this code silently.
class FailedElsewhere final : public Error {
 public:
  explicit FailedElsewhere(ExitCode code) : Error(code, "another rank failed and prints the error") {}
};

enum class Patience {
  timeout,  ///< a rank may be late by the group's timeout, as in every collective
  /// One rank may work for long while the others wait: preparing data, reading a model. The ranks exchange heartbeats,
  /// so that a stalled rank is still detected after the timeout. The work must not use host-side collectives of the
  /// group.
  unlimited,
};

/// Every rank of the group runs `work`, then all ranks exchange the outcome. If it threw on any rank, agree() throws on
/// all of them: the error itself on the lowest rank that has one, FailedElsewhere with the same exit code on the
/// others. So a job ends with one message from one rank, and no rank waits for one that has exited. main prints before
/// it finalises MPI, because mpirun may kill the other ranks when the first one exits with a nonzero code.
void agree(Communicator& group, const std::string& name, const std::function<void()>& work,
           Patience patience = Patience::timeout);

/// True on all ranks if `here` is true on any rank of the group. Collective.
bool any_rank(Communicator& group, const std::string& name, bool here);

}  // namespace tessera
