#pragma once
#include <functional>
#include <string>

#include "base/error.h"
#include "cluster/communicator.h"

namespace tessera {

/// Another rank has the error and prints it: main leaves with this exit code and says nothing.
class FailedElsewhere final : public Error {
 public:
  explicit FailedElsewhere(ExitCode code) : Error(code, "another rank failed and says why") {}
};

enum class Patience {
  timeout,  ///< a rank may be late by the group's timeout, as in every collective
  /// One rank may work for long while the others wait: preparing data, reading a model.  The ranks tell each other now
  /// and then that they are there, so that one that stands still is late by the timeout all the same.  Its work makes
  /// no host-side collective of the group.
  unlimited,
};

/// Every rank of the group runs `work`, then all learn how it went.  Where it threw on one rank or more, agree() throws
/// on all of them: the error itself on the lowest rank that has one, FailedElsewhere with the same exit code on the
/// others. So a job ends with one message from one rank, and none waits for a rank that is gone.  main prints before it
/// leaves MPI, because mpirun may end the other ranks at the first one that exits with a code.
void agree(Communicator& group, const std::string& name, const std::function<void()>& work,
           Patience patience = Patience::timeout);

/// Is it so on any rank of the group?  All ranks call it.
bool any_rank(Communicator& group, const std::string& name, bool here);

}  // namespace tessera
