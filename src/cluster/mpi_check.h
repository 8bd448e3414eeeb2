#pragma once
#include <mpi.h>

#include <string_view>

namespace tessera {

/// Throws a ClusterError with MPI's own reason where `result` is an error; `call` is what was called.
void check_mpi(int result, std::string_view call);

}  // namespace tessera
