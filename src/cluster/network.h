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

/// The interfaces of this host without loopback; one entry per address.
std::vector<NetworkInterface> network_interfaces();

/// Throws JobError, naming `host` and its interfaces, unless this host has an interface of that name, up and with an
/// address.
void check_network_interface(const std::string& name, const std::string& host);

/// The interface over which packets to `host` would leave; nothing if that name is not another host. Sends nothing.
std::optional<NetworkInterface> interface_towards(const std::string& host);

/// InfiniBand, RoCE and the like: "mlx5_0", by their names.
std::vector<std::string> fabric_devices();

/// The interfaces over which this process holds TCP connections to other hosts; empty if messages do not use TCP.
std::vector<NetworkInterface> connected_interfaces();

}  // namespace tessera
