#include "cluster/network.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>

#include "base/error.h"

namespace tessera {
namespace {

/// "10.0.0.2" or "fd00::2"; empty for what is no address of another host's reach.
std::string text_of(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address->sa_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, text.data(), text.size());
  } else if (address->sa_family == AF_INET6) {
    const in6_addr& six = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
    if (IN6_IS_ADDR_LINKLOCAL(&six)) return "";
    if (IN6_IS_ADDR_V4MAPPED(&six)) {
      inet_ntop(AF_INET, &six.s6_addr[12], text.data(), text.size());
    } else {
      inet_ntop(AF_INET6, &six, text.data(), text.size());
    }
  }
  return text.data();
}

std::string names_of(const std::vector<NetworkInterface>& interfaces) {
  std::vector<std::string> names;
  names.reserve(interfaces.size());
  for (const auto& [name, address] : interfaces) names.push_back(fmt::format("{} ({})", name, address));
  return names.empty() ? "none with an address" : fmt::format("{}", fmt::join(names, ", "));
}

/// An end of the connection that this file descriptor is; empty where it is none.
std::string end_of_connection(int descriptor, int (*end)(int, sockaddr*, socklen_t*)) {
  sockaddr_storage storage{};
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  socklen_t size = sizeof storage;
  return end(descriptor, address, &size) == 0 ? text_of(address) : "";
}

}  // namespace

std::vector<NetworkInterface> network_interfaces() {
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> all(first, &freeifaddrs);
  std::vector<NetworkInterface> found;
  for (const ifaddrs* each = first; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || (each->ifa_flags & IFF_UP) == 0 || (each->ifa_flags & IFF_LOOPBACK) != 0) continue;
    if (const std::string address = text_of(each->ifa_addr); !address.empty())
      found.push_back({each->ifa_name, address});
  }
  return found;
}

void check_network_interface(const std::string& name, const std::string& host) {
  const auto has = network_interfaces();
  if (std::any_of(has.begin(), has.end(), [&](const auto& each) { return each.name == name; })) return;
  const bool there = if_nametoindex(name.c_str()) != 0;
  throw JobError("[network] interface: {} on host {} {}; available: {}", name, host,
                 there ? "is down or has no address" : "does not exist", names_of(has));
}

std::optional<NetworkInterface> interface_towards(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;  // connecting such a socket chooses a route and sends nothing
  addrinfo* first = nullptr;
  if (getaddrinfo(host.c_str(), "9", &hints, &first) != 0) return std::nullopt;
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> all(first, &freeaddrinfo);
  const auto has = network_interfaces();
  for (const addrinfo* each = first; each != nullptr; each = each->ai_next) {
    const int descriptor = socket(each->ai_family, each->ai_socktype, 0);
    if (descriptor < 0) continue;
    const bool routed = connect(descriptor, each->ai_addr, each->ai_addrlen) == 0;
    const std::string own = routed ? end_of_connection(descriptor, getsockname) : "";
    close(descriptor);
    const auto found = std::find_if(has.begin(), has.end(), [&](const auto& i) { return i.address == own; });
    if (found != has.end() && own != text_of(each->ai_addr)) return *found;
  }
  return std::nullopt;
}

std::vector<std::string> fabric_devices() {
  std::vector<std::string> names;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/infiniband", none))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<NetworkInterface> connected_interfaces() {
  const auto has = network_interfaces();
  const auto with_address = [&](const std::string& address) {
    return std::find_if(has.begin(), has.end(), [&](const auto& each) { return each.address == address; });
  };
  std::vector<NetworkInterface> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int descriptor = std::stoi(entry.path().filename().string());
    const std::string peer = end_of_connection(descriptor, getpeername);
    if (peer.empty() || with_address(peer) != has.end()) continue;
    const auto own = with_address(end_of_connection(descriptor, getsockname));
    if (own == has.end()) continue;
    const bool known =
        std::any_of(found.begin(), found.end(), [&](const auto& f) { return f.address == own->address; });
    if (!known) found.push_back(*own);
  }
  return found;
}

}  // namespace tessera
