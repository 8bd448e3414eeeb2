#pragma once
#include <vector>

#include "cluster/communicator.h"

namespace tessera::test {

/// Returns when every rank of the group is here.
inline void barrier(Communicator& group, const CollectiveName& name) {
  const char here = 0;
  std::vector<char> everybody(static_cast<size_t>(group.size()));
  group.all_gather_host(&here, everybody.data(), 1, name);
}

}  // namespace tessera::test
