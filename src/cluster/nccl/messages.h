#pragma once
#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cluster/peer.h"

/// Messages about an NCCL that is too old or a collective that does not finish.
namespace tessera {

/// "2.28.7" of 22807; up to 2.8 NCCL wrote 2807 for 2.8.7.
inline std::string nccl_version_text(int code) {
  const int major = code < 10000 ? code / 1000 : code / 10000;
  return fmt::format("{}.{}.{}", major, code / 100 % (code < 10000 ? 10 : 100), code % 100);
}

/// Both in NCCL's code of a version.  `for_what`: what needs the oldest one.
inline void check_nccl_version(int found, int oldest, std::string_view for_what) {
  const auto comparable = [](int code) { return code < 10000 ? code / 1000 * 10000 + code % 1000 : code; };
  if (comparable(found) < comparable(oldest))
    throw ClusterError("this host has NCCL {}; {} needs {} or newer. Check LD_LIBRARY_PATH for an older copy",
                       nccl_version_text(found), for_what, nccl_version_text(oldest));
}

/// NCCL does not report which rank is late: the message names the group and how to find out.
inline std::string late_collective_message(const std::string& name, double seconds, int rank,
                                           const std::vector<Peer>& group) {
  const Peer& own = group[static_cast<size_t>(rank)];
  return fmt::format(
      "rank {} ({}) has waited in {} for {} s for at least one of {}. NCCL does not report which rank is stalled. Look "
      "for a host where nvidia-smi shows an idle GPU or no process, or that the other hosts cannot reach; "
      "NCCL_DEBUG=INFO prints the interfaces. Stopping. Run the job again; it resumes from its last checkpoint. "
      "([network] timeout_seconds sets this limit.)",
      own.world_rank, own.host, name, seconds, describe(group));
}

}  // namespace tessera
