#pragma once
#include <optional>
#include <string>
#include <vector>

namespace tessera {

/// A network interface of this host that is up, with one of its addresses.
struct NetworkInterface {
  std::string name;     ///< "eth1"
  std::string address;  ///< "10.0.0.2"
};

/// Those of this host, without the loopback; one entry an address.
std::vector<NetworkInterface> network_interfaces();

/// Throws JobError, naming `host` and what it has, unless this host has the interface of that name, up and with an
/// address.
void check_network_interface(const std::string& name, const std::string& host);

/// The one over which packets to `host` would leave; none where that name leads to no other host.  Sends nothing.
std::optional<NetworkInterface> interface_towards(const std::string& host);

/// InfiniBand, RoCE and the like: "mlx5_0", by their names.
std::vector<std::string> fabric_devices();

/// The interfaces over which this process holds TCP connections to other hosts; empty where messages go another way.
std::vector<NetworkInterface> connected_interfaces();

}  // namespace tessera
