#pragma once
#include <fmt/format.h>

#include <string>
#include <vector>

namespace tessera {

/// A rank as error messages name it.
struct Peer {
  int world_rank = 0;
  std::string host;
};

/// "ranks 0 (node1), 1 (node1), 3 (node2)"
inline std::string describe(const std::vector<Peer>& peers) {
  std::vector<std::string> names;
  names.reserve(peers.size());
  for (const Peer& peer : peers) names.push_back(fmt::format("{} ({})", peer.world_rank, peer.host));
  return fmt::format("rank{} {}", peers.size() == 1 ? "" : "s", fmt::join(names, ", "));
}

}  // namespace tessera
