#include "cluster/network.h"

#include <catch2/catch.hpp>
#include <cstdlib>

#include "cluster/device_communicator.h"
#include "cluster/launch.h"

using namespace tessera;
using Catch::Contains;

TEST_CASE("no interface leads to this host itself, or to an unknown name", "[cluster]") {
  CHECK_FALSE(interface_towards("127.0.0.1"));
  CHECK_FALSE(interface_towards("no-such-host.invalid"));
  for (const NetworkInterface& own : network_interfaces()) CHECK_FALSE(interface_towards(own.address));
}

TEST_CASE("the interface towards another host is one that this host has", "[cluster]") {
  const auto found = interface_towards("192.0.2.1");  // an address of documentation, RFC 5737
  if (!found) return;                                 // there is no route
  bool known = false;
  for (const NetworkInterface& own : network_interfaces()) known |= own.name == found->name;
  CHECK(known);
}

TEST_CASE("NCCL uses the interfaces that reached the other hosts, and the log names them", "[cluster]") {
  unsetenv("NCCL_SOCKET_IFNAME");
  CHECK_THAT(describe_nccl_network(), Contains("interface chosen by NCCL"));
  suggest_interfaces_to_nccl("eth0 10.0.0.1, eth1 10.1.0.1");
  CHECK_THAT(describe_nccl_network(), Contains("NCCL's sockets: =eth0,eth1;"));
  suggest_interfaces_to_nccl("eth2 10.2.0.1");
  CHECK_THAT(describe_nccl_network(), Contains("=eth0,eth1;"));
  unsetenv("NCCL_SOCKET_IFNAME");
}
